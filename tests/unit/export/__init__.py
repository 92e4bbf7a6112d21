"""Tests of syncsvc.export."""
