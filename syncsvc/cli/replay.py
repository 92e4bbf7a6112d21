"""``syncsvc replay``: a recording on the sockets of a service."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from syncsvc.cli.guarded import guard_of, guarded
from syncsvc.cli.log_options import log_options
from syncsvc.cli.stopping import stop_on_signals
from syncsvc.clock import SYSTEM_CLOCK, time_of_day
from syncsvc.model import FrameBatch
from syncsvc.observe.logs import said

if TYPE_CHECKING:
    from syncsvc.replay.service import Played, ReplayService

_FOLDERS: Final = ("--keys", "--clients")


class Speed(click.ParamType[float | None]):
    """How many times as fast as in the live run, or ``max``."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """The number; None for ``max``.

        Raises:
            click.BadParameter: it is neither.
        """
        if value is None or value == "max":
            return None
        try:
            speed = float(value)
        except ValueError:
            speed = 0.0
        if not 1e-3 <= speed <= 1e6:
            self.fail(f"{value!r} is neither max nor a number from 0.001 to 1000000.", param, ctx)
        return speed


@click.command(epilog="Example: syncsvc replay recordings/tuesday --speed 2 --from 2026-01-31T12:00:00Z --loop")
@click.argument("folder")
@click.option("--live", metavar="ENDPOINT", default="tcp://127.0.0.1:5555", show_default=True, help="Where batches go.")
@click.option(
    "--control", metavar="ENDPOINT", default="tcp://127.0.0.1:5556", show_default=True, help="Where questions come."
)
@click.option(
    "--wait-for", metavar="N", type=click.IntRange(min=0), default=0, help="Subscriptions to wait for before it begins."
)
@click.option(
    "--speed", metavar="N|max", type=Speed(), default="1", help="How many times as fast as in the live run; max waits "
    "for subscribers alone.",
)  # fmt: skip
@click.option("--loop", "is_endless", is_flag=True, help="Begin again at the end, as a new epoch.")
@click.option("--from", "begin", metavar="TIME", help="Where to begin: seconds after the beginning, or ISO 8601.")
@click.option("--to", "end", metavar="TIME", help="Where to end: likewise.")
@click.option(
    "--times", type=click.Choice(["now", "original"]), default="now", show_default=True,
    help="now shifts all times by whole windows, original leaves them.",
)  # fmt: skip
@guarded(*_FOLDERS)
@log_options
def replay(
    folder: str,
    live: str,
    control: str,
    wait_for: int,
    speed: float | None,
    is_endless: bool,
    begin: str | None,
    end: str | None,
    times: Literal["now", "original"],
    served_keys: Path | None,
    served_clients: Path | None,
) -> None:
    """Serve the recording in FOLDER as the live run was served.

    Frames, sets, clocks, accounts and numbers are those of the live run; a subscriber cannot tell the difference.
    Prints a line with ``ready`` on stderr when its sockets are bound. Exit code 0 when all was played, or after a drain
    (Ctrl-C, SIGTERM), 1 when the recording could not be read to its end, or misses a file, 2 when it is none, 78 when a
    socket cannot be bound.
    """
    from syncsvc.daemon.descriptors import MOST_GUESTS, raise_limit
    from syncsvc.recording.folder import FolderRecording
    from syncsvc.recording.opening import open_recording
    from syncsvc.replay.service import ReplayService, Terms
    from syncsvc.replay.span import span_of

    guard = guard_of(served_keys, served_clients, _FOLDERS, {"--live": live, "--control": control})
    recording = open_recording(folder)
    absent = recording.absent_files if isinstance(recording, FolderRecording) else []
    span = span_of(begin, end, recording.segments)
    terms = Terms(
        live, control, wait_for, speed, times, is_endless, max(16, min(MOST_GUESTS, raise_limit() // 3)), guard
    )
    service = ReplayService(recording, span, terms, SYSTEM_CLOCK)
    with stop_on_signals() as stop:
        bound = service.bind()
        click.echo(said(f"ready live={bound[0]} control={bound[1]}"), err=True)
        for file in absent:
            click.echo(said(f"{file}: is not there: the frames in it are left out", "warning"), err=True)
        try:
            with watching(service, recording.place) as on_progress:
                service.run(stop, on_progress)
        finally:
            click.echo(said(_summary(service.played, recording.place)), err=True)
    if absent:
        click.get_current_context().exit(1)


def _summary(played: "Played", place: str) -> str:
    what = f"played {played.batches} batches, {played.frames} frames, {played.sets} sets of {place}"
    return what + (f"; {played.lost} frames are not in it, or cannot be decoded" if played.lost else "")


@contextmanager
def watching(service: "ReplayService", place: str) -> Iterator[Callable[[FrameBatch], None]]:
    """Which window is played, on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    def show(batch: FrameBatch) -> None:
        played = service.played
        status.update(f"{place}: {time_of_day(batch.window_start_ns)}  {played.batches} batches  {played.sets} sets")

    with Console(stderr=True).status(f"{place}: waiting") as status:
        yield show
