"""What a recording is on disk: written batch by batch, read again as it was, held against itself."""
