"""Recordings: what a subscriber gets, on the disk batch by batch."""
