"""Says what a configuration's cameras are really like, and what to write into it: measured on the service itself."""
