"""Tests of syncsvc.mcap."""
