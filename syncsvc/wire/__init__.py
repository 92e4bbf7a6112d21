"""The one place that knows the protocol's bytes (docs/protocol.md), for both ends of the wire."""

from syncsvc.wire.batch import (
    BATCH_PREFIX,
    LATE_PREFIX,
    batch_topic,
    decode_batch,
    decode_header,
    decode_late,
    encode_batch,
    encode_late,
    late_topic,
)
from syncsvc.wire.control import (
    MAX_CONTROL_BYTES,
    STATUS_TOPIC,
    GroupTerms,
    HelloReply,
    State,
    Status,
    decode_control,
    decode_status,
    encode_control,
    encode_status,
)

__all__ = [
    "BATCH_PREFIX",
    "LATE_PREFIX",
    "MAX_CONTROL_BYTES",
    "STATUS_TOPIC",
    "GroupTerms",
    "HelloReply",
    "State",
    "Status",
    "batch_topic",
    "decode_batch",
    "decode_control",
    "decode_header",
    "decode_late",
    "decode_status",
    "encode_batch",
    "encode_control",
    "encode_late",
    "encode_status",
    "late_topic",
]
