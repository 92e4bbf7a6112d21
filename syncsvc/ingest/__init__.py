"""From a capture's pipe to frames with a capture time, told to their groups."""
