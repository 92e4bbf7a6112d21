"""What a pool of workers made of a frame or a set, to and from ZeroMQ parts: ``result/GROUP`` of ``syncsvc process``.

Apart from the other messages, and not among what ``syncsvc.wire`` hands on, since arrays need numpy. As with batches:
decoding trusts nothing, and no number inside a message decides how much memory is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from syncsvc.errors import UsageError, WireError
from syncsvc.wire.header import Label, Name, Natural, Stamp, unpack

RESULT_PREFIX = b"result/"
ARRAY_KEY = "$array"
"""The only key of a map that stands for an array: its value is the array's number."""
MOST_DEPTH = 32
_ITEM_TYPES = r"^(\|[bui]1|<[ui][248]|<f[248]|<c(8|16))\Z"

Per = Literal["frame", "set"]
Side = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class ResultIdentity(Struct, frozen=True, kw_only=True):
    """Of which batch, set and frames a result is."""

    group: Name
    run_id: Label
    epoch: Natural
    seq: Natural
    window: tuple[Stamp, Stamp]
    per: Per
    set: Natural | None
    frames: list[tuple[Name, Natural, Stamp]]


class ResultOrigin(Struct, frozen=True, kw_only=True):
    """Who made a result: ``target`` is the function's name, ``pool_id`` random per start, ``number`` rises by one."""

    target: Annotated[str, Meta(min_length=1, max_length=256)]
    pool_id: Label
    number: Natural
    spent_ns: Natural
    emitted_ns: Stamp


class ResultHeader(Struct, frozen=True, kw_only=True):
    """The header of a result, in the order in which its keys are sent."""

    v: Literal[1]
    group: Name
    run_id: Label
    epoch: Natural
    seq: Natural
    window: tuple[Stamp, Stamp]
    per: Per
    set: Natural | None
    frames: list[tuple[Name, Natural, Stamp]]
    target: Annotated[str, Meta(min_length=1, max_length=256)]
    pool_id: Label
    number: Natural
    spent_ns: Natural
    emitted_ns: Stamp
    error: str | None
    arrays: list[tuple[Annotated[str, Meta(pattern=_ITEM_TYPES)], list[Side]]]
    data: Any


class FrameIdentity(NamedTuple):
    """One frame that a result was made from."""

    stream: str
    seq: int
    time_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a function made of one frame, or of one set.

    ``group, run_id, epoch, seq`` and the window are those of the batch; ``set_index`` is the set's place in
    ``batch.sets``, None with ``per="frame"``; ``frames`` are those that the function was given. ``value`` is what it
    returned: plain data, with read-only arrays anywhere in it, tuples as lists. Where it raised, ``error`` says what,
    and ``value`` is None. ``number`` rises by one per result of one ``pool_id``: a hole is a loss.
    """

    group: str
    run_id: str
    epoch: int
    seq: int
    window_start_ns: int
    window_end_ns: int
    per: Per
    set_index: int | None
    frames: Sequence[FrameIdentity]
    value: Any
    error: str | None
    target: str
    pool_id: str
    number: int
    spent_ns: int
    emitted_ns: int

    def __repr__(self) -> str:
        of = ", ".join(f"{one.stream} #{one.seq}" for one in self.frames)
        shape = f"array {self.value.shape}" if isinstance(self.value, np.ndarray) else type(self.value).__name__
        said = f"error: {self.error}" if self.error else shape
        return f"<Result {self.number} of {self.target} {self.group} #{self.seq}: {of}: {said}>"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ResultHeader)


def result_topic(group: str) -> bytes:
    """First part of a group's results."""
    return RESULT_PREFIX + group.encode()


def encode_result(
    identity: ResultIdentity, origin: ResultOrigin, value: Any, error: str | None = None
) -> tuple[bytes, list[NDArray[Any]]]:
    """Header and payloads; the message is ``[result_topic(group), header, *payloads]``.

    Args:
        identity: of what it is.
        origin: who made it.
        value: None, booleans, numbers, texts, bytes, lists, maps of texts, and arrays of numbers, nested at will;
            NumPy's numbers, tuples, dataclasses and msgspec's structs become what is most like them.
        error: what was raised instead.

    Raises:
        UsageError: the value is something else, or nested too deeply.
    """
    arrays: list[NDArray[Any]] = []
    plain = _laid_out(value, arrays, 0)
    header = ResultHeader(
        v=1,
        **msgspec.structs.asdict(identity),
        **msgspec.structs.asdict(origin),
        error=error,
        arrays=[(array.dtype.str, list(array.shape)) for array in arrays],
        data=plain,
    )
    try:
        return _encoder.encode(header), arrays
    except (OverflowError, ValueError) as error_found:
        raise UsageError(f"a result cannot be sent: {error_found}") from error_found


def _laid_out(value: Any, arrays: list[NDArray[Any]], depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise UsageError(f"a result is nested more deeply than {MOST_DEPTH}")
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, np.ndarray):
        return _array(value, arrays)
    if isinstance(value, np.generic):
        return _laid_out(value.item(), arrays, depth)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value) or set(value) == {ARRAY_KEY}:
            raise UsageError(f"a map of a result has keys other than texts, or {ARRAY_KEY!r} alone")
        return {key: _laid_out(one, arrays, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_laid_out(one, arrays, depth + 1) for one in value]
    if isinstance(value, Struct) or hasattr(value, "__dataclass_fields__"):
        named = {name: getattr(value, name) for name in getattr(value, "__dataclass_fields__", value.__match_args__)}
        return _laid_out(named, arrays, depth + 1)
    raise UsageError(f"a result has a {type(value).__name__}: what can be sent are plain data and arrays of numbers")


def _array(array: NDArray[Any], arrays: list[NDArray[Any]]) -> Any:
    if array.dtype.kind not in "buifc" or array.dtype.itemsize > 16 or array.dtype.str[1:] in ("f16", "c32"):
        raise UsageError(f"a result has an array of {array.dtype}: what can be sent are arrays of numbers")
    if array.ndim == 0:
        return array.item()
    packed = np.ascontiguousarray(array)
    arrays.append(packed.astype(packed.dtype.newbyteorder("<"), copy=False))
    return {ARRAY_KEY: len(arrays) - 1}


def decode_result(parts: Sequence[Any]) -> Result:
    """A result from the parts of its message; arrays are read-only views of them.

    Raises:
        WireError: the message is not what the protocol says; the text names the place.
    """
    if len(parts) < 2:
        raise WireError(f"result: {len(parts)} parts; a topic and a header are the least")
    header = unpack(_decoder, parts[1], "result")
    if memoryview(parts[0]) != result_topic(header.group):
        raise WireError(f"result: its topic is not that of group {header.group!r}")
    if header.window[1] < header.window[0]:
        raise WireError("result: the window ends before it starts")
    if (header.set is None) != (header.per == "frame"):
        raise WireError("result: a set is named exactly where it is of one, or should be")
    payloads = parts[2:]
    if len(payloads) != len(header.arrays):
        raise WireError(f"result: {len(payloads)} payload parts for {len(header.arrays)} arrays")
    arrays = [_shaped(index, *row, payloads[index]) for index, row in enumerate(header.arrays)]
    return Result(
        header.group, header.run_id, header.epoch, header.seq, *header.window, header.per, header.set,
        tuple(FrameIdentity(*row) for row in header.frames), _restored(header.data, arrays, 0), header.error,
        header.target, header.pool_id, header.number, header.spent_ns, header.emitted_ns,
    )  # fmt: skip


def _shaped(index: int, kind: str, shape: list[int], payload: Any) -> NDArray[Any]:
    size_bytes, dtype = memoryview(payload).nbytes, np.dtype(kind)
    if prod(shape) * dtype.itemsize != size_bytes or len(shape) > MOST_DEPTH:
        raise WireError(f"result: array {index} is {kind} {shape}, and its payload has {size_bytes} bytes")
    if not size_bytes:
        return np.empty(shape, dtype)
    array = np.frombuffer(payload, dtype).reshape(shape)
    array.flags.writeable = False
    return array


def _restored(data: Any, arrays: Sequence[NDArray[Any]], depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise WireError(f"result: nested more deeply than {MOST_DEPTH}")
    if isinstance(data, list):
        return [_restored(one, arrays, depth + 1) for one in data]
    if not isinstance(data, dict):
        return data
    if set(data) == {ARRAY_KEY}:
        index = data[ARRAY_KEY]
        if not isinstance(index, int) or not 0 <= index < len(arrays):
            raise WireError(f"result: there is no array {index!r:.40}")
        return arrays[index]
    if not all(isinstance(key, str) for key in data):
        raise WireError("result: a map has keys other than texts")
    return {key: _restored(one, arrays, depth + 1) for key, one in data.items()}


def decode_result_header(data: Any) -> dict[str, Any]:
    """The header as plain maps, lists, strings and integers.

    Raises:
        WireError: it is not one.
    """
    plain: dict[str, Any] = msgspec.to_builtins(unpack(_decoder, data, "result"), builtin_types=(bytes,))
    return plain
