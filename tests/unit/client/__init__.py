"""The client without a socket."""
