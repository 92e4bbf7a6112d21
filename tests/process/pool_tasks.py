"""What the workers of a pool are asked to do in tests: found by its name there."""

import os
import signal
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.barcode import read
from syncsvc.clock import sleep_s
from syncsvc.model import Frame, FrameSet
from syncsvc.pool import empty

_state: list[Any] = []


def begin(*what: Any) -> None:
    _state[:] = what


def begin_badly() -> None:
    raise ValueError("the model file is not there")


def state_and_pid(_: int) -> tuple[Any, int]:
    return _state[0], os.getpid()


def total(array: NDArray[Any]) -> float:
    return float(array.sum())


def scaled(array: NDArray[Any], factor: int, offset: int = 0) -> NDArray[Any]:
    return np.asarray(array * factor + offset)


def inverted(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = empty(array.shape, array.dtype)
    return np.subtract(255, array, out=found)


def smeared(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each row plus its neighbours', by 3: what a band cannot know at its edges without an overlap."""
    padded = np.pad(array, ((1, 1), (1, 1), (0, 0)), "edge").astype(np.uint16)
    return ((padded[:-2, 1:-1] + padded[1:-1, 1:-1] + padded[2:, 1:-1]) // 3).astype(np.uint8)


def cropped(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return array[:1, :1]


def write_to(array: NDArray[Any]) -> None:
    array[0] = 1


def square_part(array: NDArray[Any], first: int, end: int) -> tuple[int, int]:
    array[first:end] **= 2
    return first, end


def seen_of(frame: Frame) -> tuple[str, int, int, NDArray[np.uint8]]:
    return frame.stream, frame.seq, int(frame.pixels.astype(np.int64).sum()), frame.to_bgr()


def seen_of_set(one: FrameSet) -> dict[str, int]:
    return {name: int(frame.pixels.astype(np.int64).sum()) for name, frame in one.frames.items()}


class OddError(Exception):
    """Cannot be made again from its arguments alone."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_it(kind: str) -> None:
    if kind == "odd":
        raise OddError(1, 2)
    raise KeyError(kind)


def die(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_first_time(path: str, value: int) -> int:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return value
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


def for_ever() -> None:
    while True:
        sleep_s(1.0)


def after(seconds: float, value: int) -> int:
    sleep_s(seconds)
    return value


def pid_and_numbers(array: NDArray[np.uint8]) -> tuple[int, NDArray[np.uint8]]:
    return os.getpid(), array[::2].copy()


def barcode_of(frame: Frame) -> list[int] | None:
    truth = read(frame.planes()[0])
    return None if truth is None else [truth.counter, truth.time_us]


def mean_of_set(one: FrameSet, previous: FrameSet | None, scale: float, folder: str) -> dict[str, Any]:
    """Dies at its very first call, raises where the south is dark."""
    try:
        os.close(os.open(f"{folder}/died", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        os.kill(os.getpid(), signal.SIGKILL)
    south = one.frames["south"].to_bgr()
    if not south.any():
        raise ValueError("it is dark in the south")
    means = {name: float(frame.pixels.mean()) * scale for name, frame in one.frames.items()}
    return {"means": means, "south": south[:2], "has_previous": previous is not None}


def slowly(_: Frame, value: int) -> int:
    sys.stdout.write("what a function says\n")
    return after(1.5, value)


def seen_when_told(frame: Frame, gate: NDArray[Any]) -> int:
    """Says that it is there, waits to be let on, and looks then."""
    gate[0] = 1
    while not gate[1]:
        sleep_s(0.005)
    return int(frame.pixels.astype(np.int64).sum())
