"""``syncsvc verify``: whether a recording is what its own sidecars say."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from syncsvc.recording.recording_findings import RecordingFindings, SegmentFindings


@click.command(epilog="Example: syncsvc verify recordings/tuesday --json")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what was looked at, and what differs.")
def verify(folder: Path, as_json: bool) -> None:
    """Hold the recording in FOLDER against its sidecars: frames, times, sets, batches; every picture is decoded.

    FOLDER may be an MCAP file. Exit code 0 when all is there, 1 with the first differences, 2 when FOLDER is no
    recording. What a recorder that was killed left of its last second is told, and no difference.
    """
    from syncsvc.recording.opening import open_recording
    from syncsvc.recording.verification import verify as look_at

    recording = open_recording(str(folder))
    with _progress() as on_progress:
        findings = look_at(recording, on_progress)
    if as_json:
        click.echo(json.dumps({"is_whole": findings.is_whole, **asdict(findings)}))
    else:
        for line in _lines(findings):
            click.echo(line)
    raise SystemExit(0 if findings.is_whole else 1)


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """Which file is decoded, on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda place, count: None
        return
    from rich.console import Console

    with Console(stderr=True).status("looking") as status:
        yield lambda place, count: status.update(f"{place}: {count} pictures")


def _lines(findings: "RecordingFindings") -> Iterator[str]:
    for segment in findings.segments:
        yield _segment_line(segment)
    yield from (f"note: {note}" for note in findings.notes)
    yield from findings.differences
    more = findings.count - len(findings.differences)
    if findings.is_whole:
        yield f"{findings.place}: every frame is there, is what it should be, and when"
    else:
        yield f"{findings.place}: {findings.count} differences" + (f", {more} more than are listed" if more else "")


def _segment_line(segment: "SegmentFindings") -> str:
    frames = " ".join(f"{name}:{count}" for name, count in segment.frames.items())
    parts = [f"{segment.place}  {segment.batches} batches  {segment.sets} sets  frames {frames or 'none'}"]
    if segment.gaps:
        parts.append(f"gaps {segment.gaps} ({segment.missed} batches)")
    for what, counts in (("refer to frames that were lost", segment.unshown), ("not recorded", segment.unrecorded)):
        if counts:
            parts.append(f"{what} " + " ".join(f"{name}:{count}" for name, count in counts.items()))
    return "  ".join(parts)
