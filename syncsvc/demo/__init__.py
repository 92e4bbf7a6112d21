"""The service at work on virtual cameras, and the verdict on whether it kept its word."""
