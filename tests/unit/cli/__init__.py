"""Commands, without what they command."""
