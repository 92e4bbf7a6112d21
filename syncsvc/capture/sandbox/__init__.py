"""What a capture gives up before a byte of its camera is read, and what it gives up once that plays."""
