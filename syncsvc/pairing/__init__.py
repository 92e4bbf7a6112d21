"""What belongs together: policies over capture times, pure, known by nobody above but through ``Policy``."""
