"""Opens each stream of a configuration once, in a process of its own, and says what it found."""

import os
import select
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing

import msgspec

from syncsvc.capture.spec import AnySpec
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.config.urls import secrets_in
from syncsvc.errors import SyncsvcError
from syncsvc.lifecycle import StopToken
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


def probe_streams(specs: Iterable[AnySpec], without: Collection[str] = ()) -> Iterator[tuple[str, Sight]]:
    """Open every stream, all at the same time; yields names and what was found, in the given order.

    A process each, because an input that hangs inside libav can only be killed; without the variables of the
    environment that hold passwords.
    """
    environment = {name: value for name, value in os.environ.items() if name not in without}
    running = [(spec.name, _start(spec, environment), patience_s(spec)) for spec in specs]
    begun_ns = SYSTEM_CLOCK.monotonic_ns()
    for name, process, most_s in running:
        try:  # one that answered while another was waited for has ended, and counts however late it is by now
            process.wait(max(0.0, most_s - (SYSTEM_CLOCK.monotonic_ns() - begun_ns) / NS_PER_S))
        except subprocess.TimeoutExpired:
            end(process, 0.0)
            yield name, Sight(False, f"no answer in {most_s:.0f} s")
        else:
            yield name, _sight(process)


def _sight(process: "subprocess.Popen[bytes]") -> Sight:
    """What a process said that has ended; it is less than what a pipe holds."""
    out, _ = process.communicate()
    try:
        return msgspec.json.decode(out, type=Sight)
    except msgspec.DecodeError:
        return Sight(False, f"broke with exit code {process.returncode}")


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
    spec = msgspec.json.decode(sys.stdin.readline(), type=AnySpec)
    logs.configure_child(f"probe {spec.name}", secrets_in(getattr(spec, "url", "")))
    try:
        sight = look(spec)
    except SyncsvcError as error:
        sight = Sight(False, str(getattr(error, "problem", error)))
    sys.stdout.buffer.write(msgspec.json.encode(sight))
    return 0


if __name__ == "__main__":
    sys.exit(main())
