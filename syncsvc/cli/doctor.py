"""``syncsvc doctor``: what the cameras of a configuration are really like, and what to write into it."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from syncsvc.cli import EXIT_INTERRUPTED
from syncsvc.cli.log_options import log_options
from syncsvc.cli.numbers import FiniteRange
from syncsvc.cli.stopping import stop_on_signals
from syncsvc.config.loader import load
from syncsvc.observe.logs import configure, said

EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h: no stream could be opened


@click.command(epilog="Example: syncsvc doctor configs/two-cameras.yaml --seconds 60 --plot cameras.png")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--seconds",
    metavar="N",
    type=FiniteRange(min=1),
    default=30.0,
    show_default=True,
    help="How long to watch; most findings need 10, --content 60. Ctrl-C ends it early.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: see docs/doctor.md.")
@click.option("--plot", metavar="FILE.png", type=click.Path(dir_okay=False, path_type=Path), help="Draw it too.")
@click.option("--content", is_flag=True, help="Also compare what the streams of a group show, to find their latency.")
@log_options
def doctor(config: Path, seconds: float, as_json: bool, plot: Path | None, content: bool) -> None:
    """Open the streams of CONFIG, measure them, and propose max_skew_ms, latency_ms and max_latency_ms.

    It runs the service itself on endpoints of its own, so it may run beside one that serves. Exit code 0 with a
    report, 69 when no stream could be opened, 78 when CONFIG is refused.
    """
    configure("doctor", load(config).secrets)
    from syncsvc.doctor import rendering
    from syncsvc.doctor.checkup import examine
    from syncsvc.doctor.plot import save_plot
    from syncsvc.observe.plotting import require_plotting

    if plot is not None:
        require_plotting(plot)
    with stop_on_signals() as stop, _progress(seconds) as progress:
        run, diagnosis = examine(config, seconds, stop, progress, with_content=content)
    if not any(stream.delivery.frames for stream in diagnosis.streams.values()):
        if stop.is_set:
            click.echo(said("stopped before there was anything to see", "error"), err=True)
            raise SystemExit(EXIT_INTERRUPTED)
        why = "; ".join(f"{name}: {stream.problem or 'silent'}" for name, stream in diagnosis.streams.items())
        click.echo(said(f"no stream could be opened: {why}", "error"), err=True)
        raise SystemExit(EXIT_UNAVAILABLE)
    if as_json:
        click.echo(json.dumps(rendering.as_object(diagnosis)))
    else:
        rendering.show(diagnosis)
    if plot is not None:
        save_plot(run, diagnosis, plot)


@contextmanager
def _progress(seconds: float) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("watching", total=seconds)
        yield lambda over_s: bar.update(task, completed=over_s)
