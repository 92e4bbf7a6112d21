"""From a capture's pipe to buckets of frames by second of capture time."""
