"""Tests of syncsvc.ingest."""
