"""``syncsvc export``: a recording as a data set that training programs read."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from syncsvc.cli.options import json_at_end
from syncsvc.cli.progress import progress
from syncsvc.cli.stopping import stop_on_signals
from syncsvc.errors import UsageError
from syncsvc.observe.logs import said

if TYPE_CHECKING:
    from syncsvc.export.export_tally import ExportTally

_BESIDE = "beside"


@click.command(epilog="Example: syncsvc export recordings/tuesday --lerobot tuesday-lerobot --task 'sort the parts'")
@click.argument("folder")
@click.option(
    "--lerobot", metavar="DIR", is_flag=False, flag_value=_BESIDE,
    help="A LeRobot v3.0 data set in a new folder; without DIR, FOLDER-lerobot.",
)  # fmt: skip
@click.option(
    "--webdataset", metavar="FILE", is_flag=False, flag_value=_BESIDE,
    help="A WebDataset in a new tar file; without FILE, FOLDER.tar.",
)  # fmt: skip
@click.option("--group", metavar="G", help="Whose sets; needed where several groups were recorded.")
@click.option("--fps", metavar="N", type=click.IntRange(1, 240), help="lerobot: the grid; without it, the sets' rate.")
@click.option("--task", metavar="TEXT", help="lerobot: what is seen, in words.")
@json_at_end
def export(
    folder: str, lerobot: str | None, webdataset: str | None, group: str | None, fps: int | None, task: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a data set of the sets in the recording in FOLDER.

    Exit code 0 when all that can be shown is in it, 1 when a part of the recording could not be read, when nothing was
    to be exported or the disk is full (nothing is left then), 2 when FOLDER is no recording or the target is there.
    """
    if (lerobot is None) == (webdataset is None):
        raise UsageError("which format? One of --lerobot DIR and --webdataset FILE")
    for option, value in (("--fps", fps), ("--task", task)):
        if webdataset is not None and value is not None:
            raise UsageError(f"{option} means nothing to --webdataset; it is for --lerobot")
    from syncsvc.export.lerobot import LeRobotWish, export_lerobot
    from syncsvc.export.recorded_sets import RecordedSets
    from syncsvc.export.web_dataset import export_web_dataset
    from syncsvc.recording.opening import open_recording

    recording = open_recording(folder)
    sets = RecordedSets(recording, group)
    place = _place(folder, lerobot or webdataset or "", "-lerobot" if lerobot else ".tar")
    with progress(f"{folder}: looking") as show, stop_on_signals() as stop:

        def on_progress(tally: "ExportTally") -> None:
            if stop.is_set:
                raise click.Abort
            show(f"{place}: {tally.sets} of {tally.recorded} sets")

        if lerobot is not None:
            tally = export_lerobot(sets, place, LeRobotWish(fps, task or ""), on_progress)
        else:
            tally = export_web_dataset(sets, place, on_progress)
    for note in sets.notes:
        click.echo(said(f"{note}: its recorder was killed, or is still at work", "warning"), err=True)
    for problem in sets.problems:
        click.echo(said(problem, "error"), err=True)
    click.echo(
        json.dumps({"place": str(place), **msgspec.to_builtins(tally)}) if as_json else "\n".join(_shown(tally, place))
    )
    raise SystemExit(1 if sets.problems else 0)


def _place(folder: str, given: str, suffix: str) -> Path:
    """Where the data set goes."""
    if given != _BESIDE:
        return Path(given)
    path = Path(folder)
    return path.with_name((path.name or path.absolute().name) + suffix)


def _shown(tally: "ExportTally", place: Path) -> list[str]:
    """The numbers for eyes: a line for each stream, and one for all."""
    lines = []
    for name, one in tally.streams.items():
        size = f" of {one.size[0]}x{one.size[1]}" if one.size else ""
        others = f", {one.other_sizes} of them {'scaled to that' if tally.fps else 'of another size'}"
        causes = ", ".join(f"{count} {cause}" for cause, count in one.unshown.items())
        lines.append(
            f"{name}: {one.pictures} pictures{size}{others if one.other_sizes else ''}"
            f"{f'; cannot be shown: {causes}' if causes else ''}"
        )
    rate = f"; {tally.fps} a second, they came {tally.rate_hz:.2f} times" if tally.fps else ""
    episodes = f" in {tally.episodes} episodes" if tally.fps else ""
    kept = f", {tally.incomplete} of them lack a stream" if tally.incomplete and not tally.fps else ""
    causes = ", ".join(f"{count} {cause}" for cause, count in tally.left_out.items() if count)
    total = f"group {tally.group}: {tally.sets} of {tally.recorded} sets{episodes}{kept}{rate}"
    return [*lines, f"{total}; left out: {causes or 'none'}; {place}"]
