"""Which test runs when and beside whom: those that measure have the machine alone, those that only reckon fill gaps."""

import fcntl
from functools import cached_property
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

STARTS_PROCESSES = ("tests/e2e/", "tests/process/")
SHARING = tuple(
    f"tests/e2e/test_{name}.py"
    for name in ("bench", "cameras_server", "cameras_tools", "clock_step", "examples", "playback")
)
"""Files that one worker has: their tests look at one thing that takes seconds to make, or sweep up the same names."""
NICE = 5
"""Of the worker in the background: who waits for a real clock goes before it."""


def is_alone(item: pytest.Item) -> bool:
    """Whether a test wants the machine to itself."""
    return item.get_closest_marker("alone") is not None


def only_reckons(nodeid: str) -> bool:
    """Whether a test needs no process and no real clock, so that it neither disturbs others nor minds them."""
    return not nodeid.startswith(STARTS_PROCESSES)


def background_of(nodeids: list[str], workers: int) -> str | None:
    """The worker that has the tests that only reckon, from the first moment on, where there are others too."""
    kinds = {only_reckons(nodeid) for nodeid in nodeids}
    return f"gw{workers - 1}" if workers > 1 and len(kinds) > 1 else None


class Turns:
    """A room for any number of workers or one who is alone, behind a door that this one keeps shut until it is in."""

    def __init__(self, folder: Path) -> None:
        self._door, self._room = ((folder / name).open("w") for name in ("door", "room"))
        self._is_in = False

    def begin(self, *, is_alone: bool) -> None:
        """Wait for the room; one who is in already goes on."""
        if not self._is_in:
            how = fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH
            fcntl.flock(self._door, how)
            fcntl.flock(self._room, how)
            fcntl.flock(self._door, fcntl.LOCK_UN)
            self._is_in = True

    def end(self) -> None:
        """Leave the room."""
        fcntl.flock(self._room, fcntl.LOCK_UN)
        self._is_in = False


class ByNeed(LoadScopeScheduling):  # type: ignore[misc, unused-ignore]
    """Hands out by one those tests that start processes, the others by file, as those that share what is made.

    One worker has only those that reckon; the others come to them when everything else is begun. (xdist 3.8 has groups
    by marks, which are without effect under pytest 9.2: seen by who ran what.)
    """

    @cached_property
    def _background(self) -> str | None:
        return background_of(self.collection or [], self.numnodes)

    def _split_scope(self, nodeid: str) -> str:
        is_whole = only_reckons(nodeid) or nodeid.startswith(SHARING)
        return nodeid.partition("::")[0] if is_whole else nodeid

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id == self._background and (scope := next(filter(only_reckons, self.workqueue), None)):
            self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        is_over = bool(self.workqueue) and not any(map(only_reckons, self.workqueue))
        if node.gateway.id == self._background and is_over:
            node.shutdown()
        else:
            super()._reschedule(node)
