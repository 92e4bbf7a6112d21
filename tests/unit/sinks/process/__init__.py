"""A function for every frame or set, without a process or a socket."""
