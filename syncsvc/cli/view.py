"""The command that shows what a service sees: one mosaic of the newest set."""

import json
from pathlib import Path
from typing import cast

import click

from syncsvc.cli.endpoint import endpoints_of
from syncsvc.cli.meeting import meet, telling
from syncsvc.cli.numbers import FiniteRange
from syncsvc.cli.options import keyed
from syncsvc.cli.progress import progress
from syncsvc.client.inlets import Mode
from syncsvc.client.subscriber import Subscriber
from syncsvc.errors import SubscriptionEnded
from syncsvc.observe.logs import said
from syncsvc.sinks.stills.mosaic import title
from syncsvc.sinks.stills.viewing import Viewed, coding_of_file
from syncsvc.sinks.stills.viewing import view as view_newest


@click.command(epilog="Example: syncsvc view tcp://127.0.0.1:5555 now.jpg --group lobby")
@click.argument("endpoint")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--group", metavar="G", help="Only this group; without it, the first that has a set.")
@click.option("--quality", metavar="Q", type=click.IntRange(1, 100), help="Of jpg and webp, 1 to 100 (90).")
@keyed
@click.option("--mode", type=click.Choice(["auto", "live", "local"]), default="auto", show_default=True)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=FiniteRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="Give up, with exit code 1, when there is no set to show for this long.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def view(
    endpoint: str,
    file: Path,
    group: str | None,
    quality: int | None,
    keys: Path | None,
    mode: str,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Write a mosaic of the newest set of the daemon whose `publish.live` is ENDPOINT, or of its configuration.

    FILE ends with .jpg, .png or .webp. All streams of the group are side by side, each with its name, time and place in
    the set; one without a frame in it is shown as missing. Of a group of one stream it is the newest frame.
    """
    coding, live = coding_of_file(file, quality), endpoints_of(endpoint).live
    try:
        batches = Subscriber(live, group, cast("Mode", mode), keys=keys)
        with telling(), progress("waiting for a set"), batches:
            left_s = meet(batches, timeout_s)
            viewed = view_newest(batches, file, coding, timeout_s if left_s is None else left_s)
    except (TimeoutError, SubscriptionEnded) as error:
        click.echo(said(f"{live}: {error}", "error"), err=True)
        click.get_current_context().exit(1)
    click.echo(json.dumps(_as_object(viewed)) if as_json else _shown(viewed))


def _shown(viewed: Viewed) -> str:
    return f"{viewed.path}: {viewed.batch.group}  {title(viewed.some, tuple(viewed.batch.frames))}"


def _as_object(viewed: Viewed) -> dict[str, object]:
    some, batch = viewed.some, viewed.batch
    return {
        "file": viewed.path,
        "group": batch.group,
        "seq": batch.seq,
        "epoch": batch.epoch,
        "spread_ns": some.spread_ns,
        "frames": {name: {"seq": frame.seq, "time_ns": frame.time_ns} for name, frame in some.frames.items()},
        "missing": {name: batch.missing.get(name, "") for name in batch.frames if name not in some.frames},
    }
