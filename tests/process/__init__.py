"""Tests that need real processes: a shared ring, a pipe, a killed child."""
