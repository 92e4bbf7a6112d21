"""Tests of syncsvc.service."""
