"""``syncsvc bench``: the figures of the documentation, measured again on the machine at hand."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from syncsvc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncsvc.bench.report import Report

_HELP: Final = """Measure, side by side with what it is compared to, and print ratios. It never judges.

\b
NAME is one of
  transport  hand a 1080p frame to another process: shared ring, pipe, queue
  pipeline   the whole service beside bare decoding of the same file
  accuracy   capture times and sets of virtual cameras beside the true ones
"""
_SECONDS: Final = {"transport": 0.0, "pipeline": 8.0, "accuracy": 60.0}


@click.command(help=_HELP, epilog="Example: syncsvc bench accuracy --seconds 60 --plot accuracy.png")
@click.argument("name", type=click.Choice(tuple(_SECONDS)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--plot", metavar="FILE.png", type=click.Path(dir_okay=False, path_type=Path), help="Draw it too.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="accuracy: length of the run (60); pipeline: length of each turn (8).",
)
@click.option("--rounds", type=click.IntRange(min=1), help="transport, pipeline: turns of each contestant (3).")
@click.option("--frames", type=click.IntRange(min=1), help="transport: frames per turn (100).")
def bench(
    name: str, as_json: bool, plot: Path | None, seconds: float | None, rounds: int | None, frames: int | None
) -> None:
    """Measure and print."""
    options = {"--seconds": seconds, "--rounds": rounds, "--frames": frames}
    allowed = {"transport": ("--rounds", "--frames"), "pipeline": ("--rounds", "--seconds"), "accuracy": ("--seconds",)}
    for option, value in options.items():
        if value is not None and option not in allowed[name]:
            raise UsageError(f"{option} means nothing to `bench {name}`; it takes {', '.join(allowed[name])}")
    from syncsvc.bench import report

    if plot is not None:
        report.require_plotting()
    given = [f"{option} {value:g}" for option, value in options.items() if value is not None]
    with _progress() as progress:
        result = _run(name, " ".join(["syncsvc bench", name, *given]), options, progress)
    if plot is not None:
        report.save_plot(result, plot)
    if as_json:
        click.echo(json.dumps(report.as_object(result)))
    else:
        report.show(result)


def _run(name: str, command: str, options: "dict[str, float | None]", progress: "Callable[[str], None]") -> "Report":
    seconds, rounds = options["--seconds"] or _SECONDS[name], int(options["--rounds"] or 3)
    if name == "transport":
        from syncsvc.bench import transport

        return transport.run(command, rounds, int(options["--frames"] or 100), progress)
    if name == "pipeline":
        from syncsvc.bench import pipeline

        return pipeline.run(command, rounds, seconds, progress)
    from syncsvc.bench import accuracy

    return accuracy.run(command, seconds, progress)


@contextmanager
def _progress() -> "Iterator[Callable[[str], None]]":
    """What is measured now, on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update
