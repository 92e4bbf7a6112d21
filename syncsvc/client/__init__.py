"""What a user's program runs: it subscribes, makes every missed batch visible, and turns payloads into pictures."""
