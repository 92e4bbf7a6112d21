"""Tests of syncsvc.capture."""
