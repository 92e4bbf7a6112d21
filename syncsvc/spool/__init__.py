"""Batches of coded pictures on disk, byte for byte as sent, so that who comes late or comes back begins in the past."""
