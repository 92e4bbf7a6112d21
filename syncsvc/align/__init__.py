"""What belongs together (pairing), and when a window is complete (aligner)."""
