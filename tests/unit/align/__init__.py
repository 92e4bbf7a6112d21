"""Tests of syncsvc.align."""
