"""The small messages beside the batches: the service's state on ``live``, questions and answers on ``control``."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from syncsvc.errors import WireError
from syncsvc.wire.header import Label, Natural, Stamp, unpack

STATUS_TOPIC = b"status"
MAX_CONTROL_BYTES = 1024

State = Literal["running", "draining", "ended"]


class Status(Struct, frozen=True, omit_defaults=True):
    """The second part of a ``status`` message; ``control`` is the endpoint, empty from a service that does not tell."""

    v: Literal[1]
    run_id: Label
    epoch: Natural
    state: State
    emitted_ns: Stamp
    control: str = ""


Carries = Literal["raw", "coded", "both"]
"""What comes of a stream: raw pictures, coded ones (``jpeg``, ``encoded``), or raw ones with the coded beside them."""


class GroupTerms(Struct, frozen=True):
    """What a group promises, as clients are told; ``window_ms`` is None for one batch per set."""

    streams: tuple[str, ...]
    window_ms: int | None
    max_skew_ms: float
    max_latency_ms: float
    carries: dict[str, Carries] = {}
    """Of each stream, as far as it is known: what is to be had under ``batch/`` and ``coded/``."""


class HelloReply(Struct, frozen=True):
    """The answer to ``hello``; ``live`` is the endpoint to subscribe to."""

    run_id: str
    epoch: int
    live: str
    groups: dict[str, GroupTerms]


_encoder = msgspec.msgpack.Encoder()
_status_decoder = msgspec.msgpack.Decoder(Status)
_control_decoder = msgspec.msgpack.Decoder(dict[str, Any])


def encode_status(run_id: str, epoch: int, state: State, *, emitted_ns: int, control: str = "") -> bytes:
    """The second part of ``[STATUS_TOPIC, ...]``."""
    status = Status(v=1, run_id=run_id, epoch=epoch, state=state, emitted_ns=emitted_ns, control=control)
    return _encoder.encode(status)


def decode_status(data: Any) -> Status:
    """The second part of a ``status`` message.

    Raises:
        WireError: it is not one.
    """
    return unpack(_status_decoder, data, "status")


def encode_control(message: Mapping[str, Any]) -> bytes:
    """One message of the ``control`` socket; ``v`` is added."""
    return _encoder.encode({"v": 1, **message})


def decode_control(data: Any, max_bytes: int = MAX_CONTROL_BYTES) -> dict[str, Any]:
    """One message of the ``control`` socket: a map with ``v`` = 1, a string ``type`` and string keys.

    Args:
        data: any readable buffer.
        max_bytes: longer ones are refused unread. Requests are small; who reads answers allows more.

    Raises:
        WireError: it is not one.
    """
    size = memoryview(data).nbytes
    if size > max_bytes:
        raise WireError(f"control: {size} bytes, at most {max_bytes} are allowed")
    message = unpack(_control_decoder, data, "control")
    if type(message.get("v")) is not int or message["v"] != 1:
        raise WireError("control: v is not 1")
    if not isinstance(message.get("type"), str):
        raise WireError("control: type is not a string")
    return message
