"""The whole farm: in this process (``serve``), or in a child with a GIL of its own (``VirtualCameras``)."""

import asyncio
import contextlib
import select
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

import msgspec

from syncsvc.cameras.mount import CameraStats
from syncsvc.cameras.server import Farm
from syncsvc.cameras.settings import CameraSpec, check_specs
from syncsvc.errors import BindError, LinkClosed, UsageError
from syncsvc.lifecycle import StopToken
from syncsvc.programs import end, start_leashed

_ANSWER_S = 20.0  # a child that imports everything on a busy machine takes some of them
_END_S = 5.0
_POLL_S = 0.05


def serve(
    specs: Sequence[CameraSpec],
    *,
    host: str,
    port: int,
    until: StopToken,
    seconds: float | None,
    on_ready: Callable[[int, Mapping[str, str]], None],
) -> None:
    """Run a ``Farm`` in this process until the token is set, or ``seconds`` are over: None goes on for ever.

    ``on_ready`` is called once, with port and URLs, when clients can come.

    Raises:
        UsageError: the specs are no farm.
        BindError: the address is taken.
    """

    async def run() -> None:
        async with Farm(specs, host, port) as farm:
            on_ready(farm.port, farm.urls)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not until.is_set:
                        await asyncio.sleep(_POLL_S)

    asyncio.run(run())


class Order(msgspec.Struct, frozen=True):
    """What the child is to do with one of its cameras; ``keys`` are what ``set`` changes."""

    do: Literal["set", "stop", "start", "stats"]
    camera: str
    keys: dict[str, Any] = {}


class VirtualCameras:
    """Cameras in a child process, for tests and demos; the child ends with this object, or with this process.

    Start it from a thread that outlives it: the kernel ends the child with the thread that made it.

    Raises:
        UsageError: from ``with``, or any method: unknown camera or key, value not allowed.
        BindError: from ``with``: the address is taken.
        LinkClosed: from any method: the child is gone.
    """

    def __init__(self, specs: Sequence[CameraSpec], port: int = 0, **limits: float) -> None:
        """Prepare; ``limits`` are those of ``Farm``."""
        check_specs(specs)
        self._farm = {"cameras": [asdict(spec) for spec in specs], "host": "127.0.0.1", "port": port, **limits}
        self._child: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self.port = port
        self.urls: dict[str, str] = {}

    @property
    def pid(self) -> int | None:
        """The child's process id, while it runs."""
        return self._child.pid if self._child is not None else None

    def __enter__(self) -> Self:
        self._child = start_leashed(["-m", "syncsvc.cameras"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            ready = self._ask(self._farm)
        except BaseException:  # a Ctrl-C too must leave no child behind
            self.close()
            raise
        self.port, self.urls = ready["port"], ready["urls"]
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child; it closes every connection first."""
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            with contextlib.suppress(OSError):  # an order that a dead child never took
                child.stdin.close()
            end(child, _END_S)

    def set(self, name: str, **keys: Any) -> None:
        """Give a camera other values while it runs, from the next picture on."""
        self._ask(Order("set", name, keys))

    def stop(self, name: str) -> None:
        """Cut a camera's power: its connections break, and it answers 404."""
        self._ask(Order("stop", name))

    def start(self, name: str) -> None:
        """Power a camera again: new RTP clock and numbers, the counter in its pictures goes on."""
        self._ask(Order("start", name))

    def stats(self, name: str) -> CameraStats:
        """A camera's account."""
        return msgspec.convert(self._ask(Order("stats", name)), CameraStats)

    def _ask(self, order: "Order | dict[str, Any]") -> dict[str, Any]:
        with self._asking:
            child = self._child
            if child is None or child.stdin is None or child.stdout is None:
                raise LinkClosed("the virtual cameras are not running")
            try:
                child.stdin.write(msgspec.json.encode(order) + b"\n")
                child.stdin.flush()
                has_answer = select.select([child.stdout], [], [], _ANSWER_S)[0]
                line = child.stdout.readline() if has_answer else b""
            except OSError as error:
                raise LinkClosed(f"the virtual cameras are gone: {error.strerror}") from error
        if not line:
            raise LinkClosed(f"the virtual cameras did not answer (exit code {child.poll()})")
        answer: dict[str, Any] = msgspec.json.decode(line)
        if "bind" in answer:
            raise BindError(*answer["bind"])
        if "usage" in answer:
            raise UsageError(answer["usage"])
        return answer
