"""Tests of syncsvc.audit."""
