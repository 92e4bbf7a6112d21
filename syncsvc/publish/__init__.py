"""Batches leave the service: a lossy live socket, and a control socket that answers questions."""
