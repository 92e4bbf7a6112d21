"""Tests of syncsvc.recording."""
