"""Sinks without a service: what they choose, compose, code and write."""
