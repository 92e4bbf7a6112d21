"""One process per stream: opens the source, stamps what arrives, puts pixels into a ring and descriptors into a pipe."""
