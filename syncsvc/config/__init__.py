"""What a user may write, and what it means: strict YAML in, frozen models out, refusals that name the key."""
