"""The command that records a service: what a subscriber gets, in files that everything plays."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from syncsvc.cli.amounts import DURATION, SIZE
from syncsvc.cli.endpoint import endpoints_of
from syncsvc.cli.following import Enough, ends, follow
from syncsvc.cli.meeting import meet, telling
from syncsvc.cli.options import json_at_end, keyed, of_group
from syncsvc.cli.progress import progress
from syncsvc.cli.stopping import stop_on_signals
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import NotRecorded
from syncsvc.lifecycle import StopToken, keep_freed_memory
from syncsvc.observe.logs import said
from syncsvc.recording.opening import FORMATS
from syncsvc.showing import gap_line
from syncsvc.sinks.record.recorder import Recorder
from syncsvc.sinks.record.stream_coder import CODECS

_FULL_LOOK_S = 1.0


@click.command(epilog="Example: syncsvc record tcp://127.0.0.1:5555 tape --group lobby --segment 10m --keep 24h")
@click.argument("endpoint")
@click.argument("folder", type=click.Path(path_type=Path))
@of_group
@click.option(
    "--codec",
    type=click.Choice(CODECS),
    default="copy",
    show_default=True,
    help="copy keeps the camera's coded pictures where they come, and codes others as H.264; h264 and ffv1 code all "
    "that has pixels, ffv1 without loss.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default="mp4",
    show_default=True,
    help="mp4 writes a folder with a film per stream, mcap one MCAP file, which Foxglove and Rerun open.",
)
@click.option("--sets", is_flag=True, help="Only frames of sets: of every stream as many.")
@click.option(
    "--fill",
    type=click.Choice(["skip", "hold"]),
    default="skip",
    show_default=True,
    help="A set that lacks a stream is skipped, or has that stream's last picture again (clock `held` in times.csv).",
)
@click.option("--segment", metavar="TIME", type=DURATION, help="A folder or MCAP of its own for each 10m, 1h, ...")
@click.option("--keep", metavar="TIME", type=DURATION, help="Take finished segments away after 24h, 7d, ...")
@click.option("--max-size", metavar="SIZE", type=SIZE, help="Take the oldest away where all have more than 50G, ...")
@click.option("--mode", type=click.Choice(["lossless", "live"]), default="lossless", show_default=True)
@keyed
@ends
@json_at_end
def record(endpoint: str, folder: Path, as_json: bool, enough: Enough, **given: Any) -> None:
    """Record the daemon whose `publish.live` is ENDPOINT, or of the configuration that it runs, into FOLDER.

    A file per stream: the camera's own coded pictures, from the first key frame on, or pictures coded here; and beside
    them times.csv, sets.csv, batches.jsonl with all headers and gaps, and recording.yaml, which `syncsvc run` plays.
    With --format mcap all of that, but the configuration, is in recording.mcap; `replay` and `verify` take either.
    Every batch is on the disk before the next one is asked for. With --segment, and where a camera changes its codec or
    size, numbered folders or files follow, each of which plays by itself. --keep and --max-size imply --segment 10m.

    It ends after N batches or seconds, when every stream of the daemon has ended, or with Ctrl-C, and says of each
    stream how many frames are in its file, and how many are in none and why: `no_key` (before the first key frame),
    `no_picture`, `codec` (no container takes it), `out_of_order`. Late frames are counted, and not recorded. Batches
    that were missed are told when it is known, and stand in batches.jsonl. While the disk is full it waits for room.
    """
    live = endpoints_of(endpoint).live
    keep_freed_memory()
    segment, keep, max_size = given["segment"], given["keep"], given["max_size"]
    recorder = Recorder(
        live, folder, given["group"], codec=given["codec"], mode=given["mode"], sets=given["sets"], fill=given["fill"],
        format=given["kind"], segment_s=segment, keep_s=keep, max_bytes=None if max_size is None else int(max_size),
        keys=given["keys"],
    )  # fmt: skip
    problem = ""
    with recorder, stop_on_signals() as stop, progress("waiting for a batch") as show, telling():
        try:
            _record(recorder, stop, show, enough)
            recorder.close()
        except TimeoutError as error:
            problem = f"{live}: {error}"
        except NotRecorded as error:
            problem = str(error)
    report = report_of(recorder)
    click.echo(json.dumps(report) if as_json else _shown(report))
    if problem:
        click.echo(said(problem, "error"), err=True)
        click.get_current_context().exit(1)


def _record(recorder: Recorder, stop: StopToken, show: Callable[[str], None], enough: Enough) -> None:
    """Record to the end.

    Raises:
        TimeoutError: no batch came for too long.
        NotRecorded: the folder cannot be written, or the end came while the disk was full.
    """
    first_s = meet(recorder, enough.timeout_s)
    begun_ns, is_full = SYSTEM_CLOCK.monotonic_ns(), False

    def wait_for_room() -> bool:
        nonlocal is_full
        if not is_full:
            is_full = True
            click.echo(said(f"{recorder.problem}: recording pauses until there is room", "warning"), err=True)
        show(f"paused: {recorder.problem}")
        return not stop.sleep(_FULL_LOOK_S) and not enough.is_past(begun_ns)

    for batch in follow(lambda wait_s: recorder.record_next(wait_s, wait_for_room), enough, first_s, stop):
        if batch is None:
            continue
        if is_full:
            is_full = False
            click.echo(said("there is room again: recording goes on", "info"), err=True)
        for gap in recorder.gaps:
            click.echo(said(gap_line(gap), "warning"), err=True)
        tally = recorder.tally
        show(f"{tally.batches} batches, {sum(one.frames for one in tally.streams.values())} frames, {tally.gaps} gaps")


def report_of(recorder: Recorder) -> dict[str, Any]:
    """What was recorded, as plain values."""
    tally = recorder.tally
    frames = {one.frames for one in tally.streams.values()}
    return {
        "folder": str(recorder.folder),
        "batches": tally.batches,
        "gaps": tally.gaps,
        "missed_batches": tally.missed,
        "sets": tally.sets,
        "skipped_sets": tally.skipped_sets,
        "segments": tally.segments,
        "removed_segments": recorder.removed,
        "pauses": recorder.pauses,
        "equal_counts": len(frames) <= 1,
        "streams": {
            name: {"frames": one.frames, "held": one.held, "late": one.late, "unrecorded": dict(one.unrecorded)}
            for name, one in tally.streams.items()
        },
    }


def _shown(report: dict[str, Any]) -> str:
    """The numbers for eyes: a line for each stream, and one for all."""
    lines = []
    for name, one in report["streams"].items():
        held = f", {one['held']} of them held" if one["held"] else ""
        causes = ", ".join(f"{number} {cause}" for cause, number in one["unrecorded"].items())
        late = f"; {one['late']} late, which are not recorded" if one["late"] else ""
        lines.append(f"{name}: {one['frames']} frames{held}{f'; in no file: {causes}' if causes else ''}{late}")
    counts = "equal counts" if report["equal_counts"] else "counts differ"
    gaps = f"{report['gaps']} gaps ({report['missed_batches']} batches missed)" if report["gaps"] else "no gaps"
    skipped = f", {report['skipped_sets']} skipped" if report["skipped_sets"] else ""
    segments = f" in {report['segments']} segments" if report["segments"] > 1 else ""
    total = f"{report['batches']} batches, {report['sets']} sets{skipped}, {gaps}, {counts}"
    return "\n".join([*lines, f"{total}; {report['folder']}{segments}"])
