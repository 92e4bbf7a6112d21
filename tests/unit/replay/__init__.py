"""Tests of syncsvc.replay."""
