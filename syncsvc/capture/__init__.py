"""One process per stream: opens the source, stamps what arrives, pixels to a ring, descriptors to a pipe."""
