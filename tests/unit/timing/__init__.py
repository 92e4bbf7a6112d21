"""Tests of syncsvc.timing."""
