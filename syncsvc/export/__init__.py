"""Recordings as data sets that training programs read: what is taken, and how each format wants it."""
