"""Tests of syncsvc.daemon."""
