"""The first parts of messages on ``live``: which kind each is, and of which group.

ZeroMQ matches prefixes: ``batch/lobby`` also brings ``batch/lobby2``.
"""

BATCH_PREFIX = b"batch/"
CODED_PREFIX = b"coded/"
HEAD_PREFIX = b"head/"
LATE_PREFIX = b"late/"


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
