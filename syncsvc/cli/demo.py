"""``syncsvc demo``: see the service work, and know whether it kept its word, without any camera."""

import json
import os
import shutil
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncsvc.cli import EXIT_INTERRUPTED
from syncsvc.cli.numbers import FiniteRange
from syncsvc.cli.stopping import stop_on_signals
from syncsvc.observe.logs import said

if TYPE_CHECKING:
    from syncsvc.demo.history import SeenBatch

EXIT_BROKEN = 1
_ROWS = 16
_DEFAULT_S = 15.0
_SHORTEST_S = 3.0  # less is over before the cameras' first whole window


@click.command(epilog="Example: syncsvc demo --seconds 30")
@click.option(
    "--seconds",
    metavar="N",
    type=FiniteRange(min=_SHORTEST_S),
    default=_DEFAULT_S,
    show_default=True,
    help="How long to watch; Ctrl-C ends it early, with the verdict so far.",
)
@click.option("--json", "as_json", is_flag=True, help="Print nothing but one JSON object at the end.")
def demo(seconds: float, as_json: bool) -> None:
    """Run three virtual RTSP cameras, the daemon and a subscriber, all on loopback and free ports.

    Each picture carries its true capture time, so at the end there is a verdict: exit code 0 when the synchronization
    contract held, 1 with the reason when it did not.
    """
    from syncsvc.demo.screen import verdict_line, verdict_object
    from syncsvc.demo.trial import SCENARIO, Trial
    from syncsvc.demo.verdict import judge

    with stop_on_signals() as stop:
        if not as_json:
            names = ", ".join(f"{spec.name} {spec.fps:g}/s" for spec in SCENARIO.cameras)
            click.echo(f"virtual cameras: {names}; max_skew {SCENARIO.max_skew_ms:g} ms")
        with Trial(SCENARIO) as trial:
            batches = (batch for part in (trial.watch(seconds, stop), trial.finish()) for batch in part)
            if as_json:
                deque(batches, maxlen=0)
            else:
                _show(batches)
            history = trial.history()
    if stop.is_set and not any(batch.sets for batch in history.batches):
        click.echo(said("stopped before there was anything to judge", "error"), err=True)
        raise SystemExit(EXIT_INTERRUPTED)
    verdict = judge(history)
    if as_json:
        click.echo(json.dumps({**verdict_object(verdict, SCENARIO), "interrupted": stop.is_set}))
    else:
        click.echo(f"{verdict_line(verdict, SCENARIO)}; next: {_program()} init RTSP-URL... --out cameras.yaml")
    raise SystemExit(0 if verdict.is_kept else EXIT_BROKEN)


def _program() -> str:
    """How this program is called from here: by its name where that finds it, else by its path."""
    here = Path(sys.argv[0])
    if here.name != "syncsvc":
        return f"{sys.executable} -m syncsvc"
    found = shutil.which("syncsvc")
    if found is not None and Path(found).resolve() == here.resolve():
        return "syncsvc"
    return os.path.relpath(here) if here.is_relative_to(Path.cwd()) or not here.is_absolute() else str(here)


def _show(batches: "Iterable[SeenBatch]") -> None:
    from syncsvc.demo.screen import COLUMNS, LEGEND, cells, header, line

    for words in LEGEND:
        click.echo(words)
    if not sys.stdout.isatty():
        print(header(), flush=True)
        for batch in batches:
            print(line(batch), flush=True)
        return
    from rich import box
    from rich.live import Live
    from rich.table import Table

    rows: deque[tuple[str, ...]] = deque(maxlen=_ROWS)
    with Live(auto_refresh=False) as live:
        for batch in batches:
            rows.append(cells(batch))
            table = Table(*COLUMNS, box=box.SIMPLE)
            for row in rows:
                table.add_row(*row)
            live.update(table, refresh=True)
