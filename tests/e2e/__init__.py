"""Real processes and sockets, on ports that the system picks."""
