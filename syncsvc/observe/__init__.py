"""What the service says of itself: counters, metrics and log lines, none of which knows a password."""
