"""Tests of ``syncsvc.onvif``."""
