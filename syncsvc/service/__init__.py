"""Where the stages meet: the daemon, the receiver process, and the supervision of both."""
