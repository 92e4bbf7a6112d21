"""The two programs of a much-read article about slow queues between processes, as it has them, on our recording.

``python -m syncsvc.bench.article_programs queue|pipe FILE``: two cameras read a recording through OpenCV with a pause
of 38 ms after each frame. ``queue``: each puts lists of 25 frames into a queue, a third process takes one list of
either and puts both into a third queue, which a fourth empties. ``pipe``: each sends frame by frame, two threads of a
third process collect what has the same whole second into lists and queue them there, and its main thread takes one of
either. A JSON line per delivery, see ``TimedGet``. They run until SIGTERM; killed, they leave semaphores.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from typing import Any

import msgspec

from syncsvc.bench.child_answers import answer
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, sleep_s
from syncsvc.lifecycle import die_with_parent
from syncsvc.pictures import load_cv2

PAUSE_S = 0.038
FRAMES_PER_LIST = 25


class TimedGet(msgspec.Struct, frozen=True):
    """When frames of both cameras were in hand (monotonic), and how long the two calls took that got them."""

    at_ns: int
    first_ns: int
    second_ns: int


class LoopedRecording:
    """A recording that begins again when it is over."""

    def __init__(self, path: str) -> None:
        self._path, self._cv2 = path, load_cv2()
        self._capture = self._cv2.VideoCapture(path)

    def read(self) -> Any:
        """The next picture."""
        is_read, frame = self._capture.read()
        if not is_read:
            self._capture = self._cv2.VideoCapture(self._path)
            is_read, frame = self._capture.read()
        return frame


def _camera_of_lists(path: str, queue: "Queue[Any]") -> None:
    camera = LoopedRecording(path)
    frames: list[Any] = []
    while True:
        frames.append(camera.read())
        if len(frames) == FRAMES_PER_LIST:
            queue.put(frames)
            frames = []
        sleep_s(PAUSE_S)


def _timed_get(first: "Queue[Any]", second: "Queue[Any]") -> tuple[Any, Any]:
    clock = SYSTEM_CLOCK
    begun_ns = clock.monotonic_ns()
    ours = first.get()
    between_ns = clock.monotonic_ns()
    theirs = second.get()
    answer(TimedGet(clock.monotonic_ns(), between_ns - begun_ns, clock.monotonic_ns() - between_ns))
    return ours, theirs


def _combiner(first: "Queue[Any]", second: "Queue[Any]", both: "Queue[Any]") -> None:
    while True:
        both.put(_timed_get(first, second))


def _consumer(both: "Queue[Any]") -> None:
    while True:
        both.get()


def _camera_of_frames(path: str, pipe: Connection) -> None:
    camera = LoopedRecording(path)
    while True:
        camera.read()
        pipe.send((SYSTEM_CLOCK.utc_ns() // NS_PER_S, camera.read()))  # every other picture, as the article has it
        sleep_s(PAUSE_S)


def _collect(pipe: Connection, queue: "Queue[Any]") -> None:
    """Lists of what carries the same second."""
    current = 0
    frames: list[Any] = []
    while True:
        second, frame = pipe.recv()
        if second > current and frames:
            queue.put(frames)
            frames = []
        current = second
        frames.append(frame)


def _collector(first: Connection, second: Connection, queues: "list[Queue[Any]]") -> None:
    for pipe, queue in zip((first, second), queues, strict=True):
        threading.Thread(target=_collect, args=(pipe, queue), daemon=True).start()
    while True:  # as the article has it: it looks all the time
        if not queues[0].empty() and not queues[1].empty():
            _timed_get(*queues)


def _leashed(parent: int, body: Callable[..., None], *arguments: Any) -> None:
    die_with_parent(parent)
    body(*arguments)


def main(which: str, path: str) -> None:
    """Start the processes of one program, and wait for them."""
    context = multiprocessing.get_context("spawn")
    queues = [context.Queue() for _ in range(3)]  # ours all, so that they are gone when we end
    bodies: list[tuple[Any, ...]]
    if which == "queue":
        first, second, both = queues
        bodies = [
            (_camera_of_lists, path, first),
            (_camera_of_lists, path, second),
            (_combiner, first, second, both),
            (_consumer, both),
        ]
    else:
        (first_out, first_in), (second_out, second_in) = context.Pipe(duplex=False), context.Pipe(duplex=False)
        bodies = [
            (_camera_of_frames, path, first_in),
            (_camera_of_frames, path, second_in),
            (_collector, first_out, second_out, queues[:2]),
        ]
    processes = [context.Process(target=_leashed, args=(os.getpid(), *body)) for body in bodies]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.kill()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
