"""The first parts of messages on ``live``, and of mode ``lossless``: which kind each is, and of which group.

ZeroMQ matches prefixes: ``batch/lobby`` also brings ``batch/lobby2``.
"""

BATCH_PREFIX = b"batch/"
CODED_PREFIX = b"coded/"
HEAD_PREFIX = b"head/"
LATE_PREFIX = b"late/"
GAP_PREFIX = b"gap/"
RESUMED_TOPIC = b"resumed"


def batch_topic(group: str) -> bytes:
    """First part of a group's batches."""
    return BATCH_PREFIX + group.encode()


def coded_topic(group: str) -> bytes:
    """First part of a group's batches with coded pictures."""
    return CODED_PREFIX + group.encode()


def head_topic(group: str) -> bytes:
    """First part of a group's headers without payloads."""
    return HEAD_PREFIX + group.encode()


def late_topic(group: str) -> bytes:
    """First part of a group's late frames."""
    return LATE_PREFIX + group.encode()


def gap_topic(group: str) -> bytes:
    """First part of what tells a lossless subscriber that batches of a group are not to be had any more."""
    return GAP_PREFIX + group.encode()
