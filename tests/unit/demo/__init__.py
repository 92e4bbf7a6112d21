"""Tests of syncsvc.demo."""
