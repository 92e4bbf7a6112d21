"""``syncsvc bench``: the figures of the documentation, measured again on the machine at hand."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from syncsvc.cli.numbers import FiniteRange
from syncsvc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncsvc.bench.report import Report

_HELP: Final = """Measure, side by side with what it is compared to, and print ratios. It never judges.

\b
NAME is one of
  transport  hand a 1080p frame to another process: shared ring, pipe, queue
  pipeline   the whole service beside bare decoding of the same file
  accuracy   capture times and sets: ours, those of other rules, and the true ones
"""
_SECONDS: Final = {"transport": 0.0, "pipeline": 8.0, "accuracy": 40.0}
_OPTIONS: Final = {
    "transport": ("--rounds", "--frames"),
    "pipeline": ("--rounds", "--seconds"),
    "accuracy": ("--seconds", "--only", "--case"),
}
_EVERY: Final = ("--seconds", "--rounds", "--frames", "--only", "--case")


@click.command(help=_HELP, epilog="Example: syncsvc bench accuracy --seconds 60 --plot accuracy.png")
@click.argument("name", type=click.Choice(tuple(_SECONDS)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--plot", metavar="FILE.png", type=click.Path(dir_okay=False, path_type=Path), help="Draw it too.")
@click.option(
    "--seconds",
    type=FiniteRange(min=1),
    help="accuracy: length of each live run (40); pipeline: length of each turn (8).",
)
@click.option("--rounds", type=click.IntRange(min=1), help="transport, pipeline: turns of each contestant (3).")
@click.option("--frames", type=click.IntRange(min=1), help="transport: frames per turn (100).")
@click.option("--only", type=click.Choice(("simulated", "live")), help="accuracy: one half of it.")
@click.option("--case", metavar="CASE", help="accuracy: one of the simulated cases, such as `four`.")
def bench(name: str, as_json: bool, plot: Path | None, **given: Any) -> None:
    """Measure and print."""
    options = {option: given[option[2:]] for option in _EVERY if given[option[2:]] is not None}
    for option in options:
        if option not in _OPTIONS[name]:
            raise UsageError(f"{option} means nothing to `bench {name}`; it takes {', '.join(_OPTIONS[name])}")
    if "--case" in options:
        _check_case(options)
    from syncsvc.bench import report

    if plot is not None:
        report.require_plotting(plot)
    words = [f"{option} {_as_word(value)}" for option, value in options.items()]
    with _progress() as progress:
        result = _run(name, " ".join(["syncsvc bench", name, *words]), options, progress)
    if as_json:
        click.echo(json.dumps(report.as_object(result)))
    else:
        report.show(result)
    if plot is not None:
        report.save_plot(result, plot)


def _as_word(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check_case(options: dict[str, Any]) -> None:
    from syncsvc.bench.scenarios import cases

    known = cases()
    if options["--case"] not in known:
        raise UsageError(f"--case {options['--case']} is not known; cases are {', '.join(known)}")
    if options.get("--only") == "live":
        raise UsageError("--case is of the simulated half; --only live leaves that out")


def _run(name: str, command: str, options: dict[str, Any], progress: "Callable[[str], None]") -> "Report":
    seconds, rounds = options.get("--seconds", _SECONDS[name]), options.get("--rounds", 3)
    if name == "transport":
        from syncsvc.bench import transport

        return transport.run(command, rounds, options.get("--frames", 100), progress)
    if name == "pipeline":
        from syncsvc.bench import pipeline

        return pipeline.run(command, rounds, seconds, progress)
    from syncsvc.bench import accuracy

    return accuracy.run(command, seconds, progress, only=options.get("--only"), name=options.get("--case"))


@contextmanager
def _progress() -> "Iterator[Callable[[str], None]]":
    """What is measured now, on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update
