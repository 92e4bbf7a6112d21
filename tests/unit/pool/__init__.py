"""A pool without processes: what it decides, cuts and shares."""
