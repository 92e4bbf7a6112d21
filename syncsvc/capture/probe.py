"""Opens each stream of a configuration once, in a process of its own, and says what it found."""

import os
import select
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing

import msgspec

from syncsvc.capture.spec import AnySpec
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK
from syncsvc.config.urls import secrets_in
from syncsvc.errors import SyncsvcError
from syncsvc.lifecycle import START_NS, StopToken
from syncsvc.observe import logs
from syncsvc.programs import end, start_leashed
from syncsvc.transport.page import StreamPage

PROBE_TIMEOUT_S = 20.0


class Sight(msgspec.Struct, frozen=True):
    """What was found of a stream, in words and, where it is there, in numbers; 0 is what it does not say."""

    is_there: bool
    text: str
    fps: float = 0.0
    width: int = 0
    height: int = 0


def patience_s(spec: AnySpec) -> float:
    """How long a look at a stream may take: longer where its camera may."""
    return max(PROBE_TIMEOUT_S, 2 * sum(spec.timeouts_s))


class _Asked:
    """One stream that is being probed."""

    def __init__(self, spec: AnySpec, environment: dict[str, str]) -> None:
        self.name, self.process, self._patience_s = spec.name, _start(spec, environment), patience_s(spec)
        assert self.process.stdout is not None
        self.fd = self.process.stdout.fileno()
        self.until_ns = SYSTEM_CLOCK.monotonic_ns() + START_NS
        self._said = b""
        self.sight: Sight | None = None

    def hear(self) -> None:
        """Take in what can be read: its time begins with its first word, its end is the end."""
        said = os.read(self.fd, 1 << 16)
        if not self._said:
            self.until_ns = SYSTEM_CLOCK.monotonic_ns() + round(self._patience_s * NS_PER_S)
        self._said += said
        if not said:
            end(self.process, PROBE_TIMEOUT_S)
            self.sight = _sight(self._said, self.process.returncode)

    def give_up(self) -> None:
        """Its time is over."""
        end(self.process, 0.0)
        self.sight = Sight(False, f"no answer in {self._patience_s:.0f} s" if self._said else "did not start")


def probe_streams(specs: Iterable[AnySpec], without: Collection[str] = ()) -> Iterator[tuple[str, Sight]]:
    """Open every stream, all at the same time; yields names and what was found, in the given order.

    A process each, because an input that hangs inside libav can only be killed; without the variables of the
    environment that hold passwords. Each has its own time, which begins when its process is ready to look.
    """
    environment = {name: value for name, value in os.environ.items() if name not in without}
    asked: list[_Asked] = []
    try:
        asked.extend(_Asked(spec, environment) for spec in specs)
        for one in asked:
            while one.sight is None:
                _hear([some for some in asked if some.sight is None])
            yield one.name, one.sight
    finally:
        for one in asked:
            end(one.process, 0.0)


def _hear(asked: Sequence[_Asked]) -> None:
    """Wait until one of them says something, or its time is over."""
    poller = select.poll()
    for one in asked:
        poller.register(one.fd, select.POLLIN)
    left_ns = min(one.until_ns for one in asked) - SYSTEM_CLOCK.monotonic_ns()
    ready = {fd for fd, _ in poller.poll(max(0, left_ns) / NS_PER_MS)}
    for one in asked:
        if one.fd in ready:
            one.hear()
        elif SYSTEM_CLOCK.monotonic_ns() >= one.until_ns:
            one.give_up()


def _sight(out: bytes, code: int) -> Sight:
    try:
        return msgspec.json.decode(out, type=Sight)
    except msgspec.DecodeError:
        return Sight(False, f"broke with exit code {code}")


def _start(spec: AnySpec, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    process = start_leashed(["-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(spec) + b"\n")
    process.stdin.flush()
    return process


def look(spec: AnySpec) -> Sight:
    """Open the source and describe it.

    Raises:
        SyncsvcError: it is not there.
    """
    from syncsvc.capture.file import FileSource
    from syncsvc.capture.process import open_source
    from syncsvc.capture.source import Shot

    page = StreamPage.create(spec.name)
    with closing(page), closing(open_source(spec, SYSTEM_CLOCK, lambda _: None, StopToken(), page)) as source:
        declared = source.declared_fps
        found = "no frame rate declared" if declared is None else f"{declared:.3f} frames/s declared"
        if isinstance(source, FileSource):
            return Sight(True, found, source.fps, *source.size)
        for shot in source.shots():
            if isinstance(shot, Shot):
                layout = shot.picture.layout
                size = layout.width, layout.height
                return Sight(True, f"{layout.width}x{layout.height}, {found}", declared or 0.0, *size)
        return Sight(True, found, declared or 0.0)


def main() -> int:
    """Probe the stream whose specification comes on standard input."""
    if not select.select([sys.stdin], [], [], PROBE_TIMEOUT_S)[0]:
        return 1
    from syncsvc.capture.nursery import preload

    spec = msgspec.json.decode(sys.stdin.readline(), type=AnySpec)
    logs.configure_child(f"probe {spec.name}", secrets_in(getattr(spec, "url", "")))
    preload([spec.kind])
    sys.stdout.buffer.write(b"\n")  # ready: the time for an answer begins
    sys.stdout.buffer.flush()
    try:
        sight = look(spec)
    except SyncsvcError as error:
        sight = Sight(False, str(getattr(error, "problem", error)))
    sys.stdout.buffer.write(msgspec.json.encode(sight))
    return 0


if __name__ == "__main__":
    sys.exit(main())
