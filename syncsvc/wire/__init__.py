"""The one place that knows the protocol's bytes (docs/protocol.md), for both ends of the wire."""

from syncsvc.wire.batch import decode_batch as decode_batch
from syncsvc.wire.batch import decode_coded as decode_coded
from syncsvc.wire.batch import decode_head as decode_head
from syncsvc.wire.batch import decode_header as decode_header
from syncsvc.wire.batch import decode_late as decode_late
from syncsvc.wire.batch import encode_batch as encode_batch
from syncsvc.wire.batch import encode_late as encode_late
from syncsvc.wire.control import MAX_CONTROL_BYTES as MAX_CONTROL_BYTES
from syncsvc.wire.control import STATUS_TOPIC as STATUS_TOPIC
from syncsvc.wire.control import GroupTerms as GroupTerms
from syncsvc.wire.control import HelloReply as HelloReply
from syncsvc.wire.control import State as State
from syncsvc.wire.control import Status as Status
from syncsvc.wire.control import decode_control as decode_control
from syncsvc.wire.control import decode_status as decode_status
from syncsvc.wire.control import encode_control as encode_control
from syncsvc.wire.control import encode_status as encode_status
from syncsvc.wire.topics import BATCH_PREFIX as BATCH_PREFIX
from syncsvc.wire.topics import CODED_PREFIX as CODED_PREFIX
from syncsvc.wire.topics import HEAD_PREFIX as HEAD_PREFIX
from syncsvc.wire.topics import LATE_PREFIX as LATE_PREFIX
from syncsvc.wire.topics import batch_topic as batch_topic
from syncsvc.wire.topics import coded_topic as coded_topic
from syncsvc.wire.topics import head_topic as head_topic
from syncsvc.wire.topics import late_topic as late_topic
