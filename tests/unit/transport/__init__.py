"""Tests of syncsvc.transport."""
