"""The command that puts the pictures of a service on the disk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click

from syncsvc.cli.endpoint import endpoints_of
from syncsvc.cli.following import Enough, ends, follow
from syncsvc.cli.meeting import meet, telling
from syncsvc.cli.numbers import FiniteRange
from syncsvc.cli.options import json_at_end, keyed, of_group, when_late
from syncsvc.cli.progress import progress
from syncsvc.cli.stopping import stop_on_signals
from syncsvc.client.inlets import Mode
from syncsvc.client.subscriber import Subscriber
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import UsageError
from syncsvc.lifecycle import keep_freed_memory
from syncsvc.observe.logs import said
from syncsvc.pictures import load_cv2
from syncsvc.sinks.stills.choice import Choice, Of, StillsWish
from syncsvc.sinks.stills.coding import SUFFIXES, coding_of
from syncsvc.sinks.stills.files import require_folder
from syncsvc.sinks.stills.sink import StillsSink, WhenLate
from syncsvc.sinks.stills.stills_tally import StillsTally
from syncsvc.sinks.stills.writers import DEFAULT_HOW, HOWS, MOST_WORKERS, How, opened


@click.command(epilog="Example: syncsvc stills tcp://127.0.0.1:5555 pictures --group lobby --per-second 1")
@click.argument("endpoint")
@click.argument("folder", type=click.Path(path_type=Path))
@of_group
@click.option("--sets", "of_sets", is_flag=True, help="Frames of sets only: UTC/STREAM.ext, a folder for each set.")
@click.option("--mosaic", is_flag=True, help="A picture for each set, all streams side by side: UTC.ext.")
@click.option("--every", metavar="N", type=click.IntRange(min=1), help="One of N frames of each stream, or of N sets.")
@click.option("--per-second", metavar="R", type=FiniteRange(min=0, min_open=True), help="R of them a second, at most.")
@click.option("--format", type=click.Choice(SUFFIXES), default="jpg", show_default=True)
@click.option("--quality", metavar="Q", type=click.IntRange(1, 100), help="Of jpg and webp, 1 to 100 (90).")
@click.option("--how", type=click.Choice(HOWS), default=DEFAULT_HOW, show_default=True, help="Who writes them.")
@click.option("--workers", metavar="N", type=click.IntRange(1, MOST_WORKERS), help="Threads or processes (one a core).")
@when_late("drop pictures, or wait, so that whole batches are missed. Both are counted.")
@click.option("--mode", type=click.Choice(["auto", "live", "local"]), help="auto; live with --when-late wait.")
@keyed
@ends
@json_at_end
def stills(endpoint: str, folder: Path, as_json: bool, enough: Enough, **given: Any) -> None:
    """Write the pictures of the daemon whose `publish.live` is ENDPOINT, or of the configuration that it runs.

    They go into FOLDER as STREAM/UTC_SEQ.ext, with the time to the nanosecond, each under a temporary name first. A
    picture of a `jpeg` stream is written as it came where no --quality is given.

    It ends after N batches or seconds, when every stream of the daemon has ended, or with Ctrl-C, and says how many
    were written, and how many were not and why: `late` (it could not keep up), `reclaimed` (read on the daemon's host,
    and held for too long), `undecodable`, `refused` (the format cannot hold it), `unwritten` (by the disk; exit code 1
    then). A full disk ends nothing: what comes when there is room again is written.
    """
    if given["of_sets"] and given["mosaic"]:
        raise UsageError("--sets and --mosaic are two answers to one question: give one")
    of: Of = "mosaics" if given["mosaic"] else "sets" if given["of_sets"] else "frames"
    wanted = _Wanted(
        endpoints_of(endpoint).live, folder, Choice(StillsWish(of, given["every"], given["per_second"])), given
    )
    tally, missed, problem = _write(wanted, enough)
    report = tally.as_object() | {"folder": str(folder), "missed_batches": missed}
    click.echo(json.dumps(report) if as_json else _shown(report))
    if problem:
        click.echo(said(f"{wanted.live}: {problem}", "error"), err=True)
    if problem or tally.dropped.get("unwritten"):
        click.get_current_context().exit(1)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for, checked."""

    live: str
    folder: Path
    choice: Choice
    given: Mapping[str, Any]

    @property
    def mode(self) -> Mode:
        """Read in place where that can be; where it is to wait, copies that nobody takes back meanwhile."""
        return cast("Mode", self.given["mode"] or ("live" if self.given["when_late"] == "wait" else "auto"))


def _write(wanted: _Wanted, enough: Enough) -> tuple[StillsTally, int, str]:
    """Write to the end; the numbers, how many batches were missed, and what went wrong."""
    given, problem = wanted.given, ""
    coding, place = coding_of(given["format"], given["quality"]), require_folder(wanted.folder)
    keep_freed_memory()
    load_cv2().setNumThreads(1)  # the writers are as many as there are cores
    when_late, how = cast("WhenLate", given["when_late"]), cast("How", given["how"])
    keeps_jpeg = given["quality"] is None and coding.suffix == "jpg"
    with (
        stop_on_signals() as stop,
        progress("waiting for a batch") as show,
        opened(how, coding, given["workers"]) as writer,
    ):
        sink = StillsSink(place, wanted.choice, coding, writer, when_late, keeps_jpeg=keeps_jpeg)

        def tell() -> None:
            if news := sink.tally.news(SYSTEM_CLOCK.monotonic_ns()):
                click.echo(said(news, "warning"), err=True)
            show(f"{sink.tally.written} written, {sink.under_way} under way, {sink.tally.lost} not written")

        with telling(), Subscriber(wanted.live, given["group"], wanted.mode, keys=given["keys"]) as batches:
            try:
                for batch in follow(batches.receive, enough, meet(batches, enough.timeout_s), stop):
                    if batch is None:
                        sink.collect()
                    else:
                        sink.take(batch, lambda: stop.is_set)
                    tell()
                    del batch
            except TimeoutError as error:
                problem = str(error)
            sink.finish(tell)
            return sink.tally, batches.stats.missed, problem


def _shown(report: Mapping[str, Any]) -> str:
    """The numbers for eyes: a line for each stream, and one for all."""
    lines = [
        f"{name}: {one['written']} of {one['chosen']} written, {one['bytes'] / 1e6:.1f} MB{_causes(one['dropped'])}"
        for name, one in report["streams"].items()
    ]
    missed = f"; {report['missed_batches']} batches missed" if report["missed_batches"] else ""
    total = f"{report['written']} pictures, {report['bytes'] / 1e6:.1f} MB in {report['folder']}"
    return "\n".join([*lines, f"{total}; {report['batches']} batches{missed}{_causes(report['dropped'])}"])


def _causes(dropped: Mapping[str, int]) -> str:
    return f"; not written: {', '.join(f'{number} {cause}' for cause, number in dropped.items())}" if dropped else ""
