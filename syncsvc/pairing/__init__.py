"""What belongs together: policies over capture times, pure; ``Policy`` is what the aligners know of them."""
