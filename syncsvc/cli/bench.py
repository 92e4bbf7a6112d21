"""``syncsvc bench``: the figures of the documentation, measured again on the machine at hand."""

import json
import shlex
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from syncsvc.cli.numbers import FiniteRange
from syncsvc.cli.progress import progress
from syncsvc.errors import UsageError

if TYPE_CHECKING:
    from syncsvc.bench.report import BenchReport

_HELP: Final = """Measure, side by side with what it is compared to, and print ratios. It never judges.

\b
NAME is one of
  transport  hand a 1080p frame to another process: shared ring, pipe, queue, ZeroMQ, other libraries
  pipeline   the whole service beside bare decoding of the same file
  capacity   how many 1080p25 streams before the first loss, beside bare decoders
  latency    from the last frame that a window needs to the batch in a subscriber's hands
  article    two cameras by the Queue and the Pipe program of a much-read article, and by the service
  process    filters over 1080p pictures: one by one, by multiprocessing's pools, by FramePool
  record     remuxing a service's coded pictures beside PyAV's bare remuxing, and decoding and encoding
  stills     pictures to the disk: loop, threads, processes, chunks, and a service's own
  accuracy   capture times and sets: ours, those of other rules, and the true ones
"""
_SECONDS: Final = {
    "pipeline": 8.0, "capacity": 20.0, "latency": 20.0, "article": 15.0, "record": 10.0, "stills": 10.0,
    "accuracy": 40.0,
}  # fmt: skip
_FRAMES: Final = {"process": 24}
_OPTIONS: Final = {
    "transport": ("rounds", "frames", "only"),
    "pipeline": ("seconds", "rounds", "only"),
    "capacity": ("seconds", "step", "only"),
    "latency": ("seconds", "rounds", "only"),
    "article": ("seconds", "only"),
    "process": ("rounds", "frames", "only"),
    "record": ("seconds", "rounds", "only"),
    "stills": ("seconds", "rounds", "frames", "only"),
    "accuracy": ("seconds", "only", "case"),
}


@click.command(help=_HELP, epilog="Example: syncsvc bench accuracy --seconds 60 --plot accuracy.png")
@click.argument("name", type=click.Choice(tuple(_OPTIONS)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a section of a results page.")
@click.option("--plot", metavar="FILE.png", type=click.Path(dir_okay=False, path_type=Path), help="Draw it too.")
@click.option(
    "--seconds",
    type=FiniteRange(min=1),
    help="Length of each turn: pipeline (8), record, stills (10), article (15), capacity, latency (20), accuracy (40).",
)
@click.option("--rounds", type=click.IntRange(min=1), help="All but capacity, article, accuracy: turns of each (3).")
@click.option(
    "--frames", type=click.IntRange(min=1), help="1080p frames per turn: transport, stills (100), process (24)."
)
@click.option("--step", type=click.IntRange(min=1), help="capacity: streams more at a time (4; 16 with `encoded`).")
@click.option("--only", metavar="WORDS", help="The rows that have these words; accuracy: `simulated` or `live`.")
@click.option("--case", metavar="CASE", help="accuracy: one of the simulated cases, such as `four`.")
def bench(name: str, as_json: bool, as_markdown: bool, plot: Path | None, **given: Any) -> None:
    """Measure and print."""
    for option, value in given.items():
        if value is not None and option not in _OPTIONS[name]:
            takes = ", ".join(f"--{known}" for known in _OPTIONS[name])
            raise UsageError(f"--{option} means nothing to `bench {name}`; it takes {takes}")
    options = {option: given[option] for option in _OPTIONS[name] if given[option] is not None}
    from syncsvc.bench import report
    from syncsvc.bench.rounds import BenchRequest
    from syncsvc.observe.plotting import require_plotting

    if plot is not None:
        require_plotting(plot)
    command = " ".join(["syncsvc bench", name, *(f"--{option} {_as_word(value)}" for option, value in options.items())])
    with progress() as tell:
        usual = {"seconds": _SECONDS.get(name, 0.0), "frames": _FRAMES.get(name, 100)}
        request = BenchRequest(tell, **{**usual, **options})
        result: BenchReport = import_module(f"syncsvc.bench.{name}").run(request)
    if as_json:
        click.echo(json.dumps(report.as_object(result, name, command)))
    elif as_markdown:
        click.echo(report.as_markdown(result, command))
    else:
        report.show(result, command)
    if plot is not None:
        report.save_plot(result, plot)


def _as_word(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else shlex.quote(str(value))
