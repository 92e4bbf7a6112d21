"""Unit tests of ``syncsvc.publish``."""
