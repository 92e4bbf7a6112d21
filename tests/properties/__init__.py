"""Guarantees, tried on generated cases."""
