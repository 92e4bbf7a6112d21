"""Opens each stream of a configuration once, in a process of its own, and says what it found."""

import os
import select
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing

import msgspec

from syncsvc.capture.spec import AnySpec, FileSpec
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import SyncsvcError
from syncsvc.lifecycle import StopToken
from syncsvc.programs import end, start_leashed
from syncsvc.transport.page import StreamPage

PROBE_TIMEOUT_S = 20.0


def probe_streams(specs: Iterable[AnySpec], without: Collection[str] = ()) -> Iterator[tuple[str, bool, str]]:
    """Open every stream, all at the same time; yields ``(name, is_there, what was found)`` in the given order.

    A process each, because an input that hangs inside libav can only be killed; without the variables of the
    environment that hold passwords.
    """
    environment = {name: value for name, value in os.environ.items() if name not in without}
    running = [(spec.name, _start(spec, environment)) for spec in specs]
    deadline_ns = SYSTEM_CLOCK.monotonic_ns() + round(PROBE_TIMEOUT_S * NS_PER_S)
    for name, process in running:
        try:
            out, _ = process.communicate(timeout=max(0.0, (deadline_ns - SYSTEM_CLOCK.monotonic_ns()) / NS_PER_S))
        except subprocess.TimeoutExpired:
            end(process, 0.0)
            yield name, False, f"no answer in {PROBE_TIMEOUT_S:.0f} s"
        else:
            yield name, process.returncode == 0, out.decode().strip() or f"broke with exit code {process.returncode}"


def _start(spec: AnySpec, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    process = start_leashed(["-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(spec) + b"\n")
    process.stdin.flush()
    return process


def look(spec: AnySpec) -> str:
    """Open the source and describe it.

    Raises:
        SyncsvcError: it is not there.
    """
    from syncsvc.capture.process import open_source
    from syncsvc.capture.source import Shot

    page = StreamPage.create(spec.name)
    with closing(page), closing(open_source(spec, SYSTEM_CLOCK, lambda _: None, StopToken(), page)) as source:
        found = f"{source.fps:.3f} frames/s declared"
        if isinstance(spec, FileSpec):
            return found
        for shot in source.shots():
            if isinstance(shot, Shot):
                return f"{shot.picture.layout.width}x{shot.picture.layout.height}, {found}"
        return found


def main() -> int:
    """Probe the stream whose specification comes on standard input."""
    if not select.select([sys.stdin], [], [], PROBE_TIMEOUT_S)[0]:
        return 1
    try:
        text = look(msgspec.json.decode(sys.stdin.readline(), type=AnySpec))
    except SyncsvcError as error:
        sys.stdout.write(f"{getattr(error, 'problem', error)}\n")
        return 1
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
