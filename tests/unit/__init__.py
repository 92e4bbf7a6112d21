"""No sleep, no process, no socket."""
