"""From what a source says to when a picture was taken: one ladder per stream, one UTC mapper per host."""
