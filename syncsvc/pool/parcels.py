"""Calls and results as bytes, with arrays apart: those lie in shared memory, and only where they lie is written down.

What is read here was written by this very program in a process that it started itself, over a socket pair that nobody
else holds: that is why a function, its small arguments and what it raises may be pickled. Pixels never are.
"""

import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from syncsvc.borrowed import Lent, Payload
from syncsvc.errors import UsageError
from syncsvc.model import Frame
from syncsvc.pool.blocks import Arena, Block
from syncsvc.pool.orders import BlockPlace

LEAST_BYTES = 4096
"""Smaller arrays are cheaper to write down than to share."""

LentNumber = Callable[[Lent], int]


class Parcel(NamedTuple):
    """Something to hand over."""

    body: bytes
    places: list[BlockPlace]
    blocks: list[Block]
    """Of ours, taken for it: to be given back when nobody looks at them any more."""
    holds: list[Any]
    """What must live until then: arrays and leases that it refers to."""
    lents: dict[int, tuple[Lent, NDArray[np.uint8]]]
    """Places that may be taken from us, and the same bytes where they are ours."""


class _Packer(pickle.Pickler):
    """Writes everything but arrays, for which it notes a place."""

    def __init__(self, file: io.BytesIO, arena: Arena, lent_number: LentNumber | None) -> None:
        super().__init__(file, protocol=5)
        self._arena, self._lent_number = arena, lent_number
        self._known: dict[int, tuple[Any, ...]] = {}
        self._indices: dict[int, int] = {}
        self.parcel = Parcel(b"", [], [], [], {})

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        """Where an array or a payload lies; None for everything else, which is written down."""
        is_array = type(obj) is np.ndarray and not obj.dtype.hasobject
        if is_array and obj.nbytes < LEAST_BYTES and self._arena.find(obj) is None:
            return None
        if not is_array and not isinstance(obj, Payload):
            return None
        if id(obj) not in self._known:
            self._known[id(obj)] = self._array(obj) if is_array else self._payload(obj)
            self.parcel.holds.append(obj)
        return self._known[id(obj)]

    def reducer_override(self, obj: Any) -> Any:
        """A frame with its payload where it lies; ``Frame.__reduce__`` would copy it first."""
        if type(obj) is not Frame:
            return NotImplemented
        *facts, payload, decoder = (getattr(obj, name) for name in obj.__struct_fields__)
        if payload is not None and not isinstance(payload, Payload):
            payload = obj.pixels
        return Frame, (*facts, payload, decoder and decoder.kept())

    def _payload(self, payload: Payload) -> tuple[Any, ...]:
        lent = payload.lent() if self._lent_number is not None else None
        view = payload.view()
        if lent is None or self._lent_number is None:
            return self._array(view)
        index = self._place((self._lent_number(lent), 0, payload.nbytes))
        self.parcel.lents[index] = lent, view
        return index, 0, view.shape, None, view.dtype

    def _array(self, array: NDArray[Any]) -> tuple[Any, ...]:
        found = self._arena.find(array)
        if found is not None:
            block, offset = found
            index = self._place((block.number, 0, block.size_bytes))  # once, whatever is in it
            return index, offset, array.shape, array.strides, array.dtype
        block = self._arena.take(array.nbytes)
        self.parcel.blocks.append(block)
        np.copyto(np.ndarray(array.shape, array.dtype, buffer=block.view(array.nbytes)), array)
        return self._place((block.number, 0, array.nbytes)), 0, array.shape, None, array.dtype

    def _place(self, place: BlockPlace) -> int:
        if place[0] not in self._indices:
            self._indices[place[0]] = len(self.parcel.places)
            self.parcel.places.append(place)
        return self._indices[place[0]]


class _Unpacker(pickle.Unpickler):
    """Reads, and makes arrays of places."""

    def __init__(self, file: io.BytesIO, views: Sequence[NDArray[np.uint8]]) -> None:
        super().__init__(file)
        self._views = views

    def persistent_load(self, pid: tuple[Any, ...]) -> NDArray[Any]:
        """The array at a place."""
        index, offset, shape, strides, dtype = pid
        return np.ndarray(shape, dtype, buffer=self._views[index], offset=offset, strides=strides)


def pack(what: Any, arena: Arena, lent_number: LentNumber | None = None) -> Parcel:
    """Write something down; arrays are copied into blocks of the arena, unless they lie there already, or are lent.

    Args:
        what: anything that can be pickled.
        arena: of this process.
        lent_number: the block that memory is known by which a payload was lent to us in; None: it is copied.

    Raises:
        UsageError: it cannot be pickled.
        MemoryShortage: there is no memory for its arrays.
    """
    file = io.BytesIO()
    packer = _Packer(file, arena, lent_number)
    try:
        packer.dump(what)
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
        release(packer.parcel, arena)
        raise UsageError(
            f"cannot be handed to another process: {error}; functions and classes are found by their names there, so "
            "define them at the top of a module"
        ) from error
    except BaseException:
        release(packer.parcel, arena)
        raise
    return packer.parcel._replace(body=file.getvalue())


def release(parcel: Parcel, arena: Arena) -> None:
    """Nobody looks at it any more."""
    for block in parcel.blocks:
        arena.give_back(block.number)
    parcel.blocks.clear()
    parcel.holds.clear()
    parcel.lents.clear()


def unpack(body: bytes, views: Sequence[NDArray[np.uint8]]) -> Any:
    """Read it again; arrays are views of ``views``, which are what the parcel's places hold."""
    return _Unpacker(io.BytesIO(body), views).load()


def pack_error(error: BaseException, traceback: str) -> bytes:
    """What was raised, as itself where it can be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
        return pickle.dumps((error, traceback))
    except Exception:  # anything may come out of an exception's own way to be pickled
        return pickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), traceback))


def unpack_error(body: bytes) -> BaseException:
    """The same again, caused by a ``WorkerTraceback``."""
    error, traceback = pickle.loads(body)
    error.__cause__ = WorkerTraceback(traceback)
    return error  # type: ignore[no-any-return]  # it is what pack_error was given


class WorkerTraceback(Exception):
    """The traceback that an error had in its worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n\n{self.text}"
