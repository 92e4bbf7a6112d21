"""A recording on the sockets of the service that it was made of: who subscribes cannot tell the difference."""
