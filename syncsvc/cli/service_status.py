"""``syncsvc status``: how the running service is, in a table or as JSON."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from syncsvc.cli.endpoint import endpoints_of
from syncsvc.cli.options import keyed
from syncsvc.client.inquiry import ask_status
from syncsvc.errors import NoAnswer
from syncsvc.observe.status import GroupStatus, IngestStatus, ReceiverStatus
from syncsvc.observe.tables import Table, show

_PIPE_WIDTH: Final = 120
_LEGEND: Final = (
    "  clock: what the frames' times are known by, ± how exactly; age: since the newest frame, or batch",
    "  full: sets of all streams; spread: from the first to the last frame of a set, median and widest of recent ones",
    "  late: frames that came when their window had left, counted and in none of its sets",
)


_ONE_WAY_MS: Final = 20.0
_ONE_WAY: Final = (
    "  ± of rtcp: what nobody can tell one way, the camera's latency from an error of its clock. How steady\n"
    "  the clock is, `syncsvc doctor` measures; `clock: rtcp` is your word that it is right: ± 1 ms"
)
_GUESSED: Final = "  ?: a guess, because better clocks were refused: such a stream changes no set of the others"


@click.command(epilog="Example: syncsvc status tcp://127.0.0.1:5555 --json")
@click.argument("endpoint", required=False)
@keyed
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what `control` answers, see docs/protocol.md.")
def status(endpoint: str | None, keys: Path | None, as_json: bool) -> None:
    """Show the running service at ENDPOINT: its `live` or `control`, or the configuration that it runs.

    Without ENDPOINT it is tcp://127.0.0.1:5555. Exit code 1 and one line when no service is there.
    """
    place = endpoints_of(endpoint)
    told = ask_status(place.control or place.live, keys=keys)
    if as_json:
        click.echo(json.dumps(told))
        return
    try:
        service = msgspec.convert(told, ReceiverStatus)
    except msgspec.ValidationError as error:
        raise NoAnswer(
            place.live, f"a service of another version is there ({error}); --json shows what it says"
        ) from None
    show(parts(service), _PIPE_WIDTH)


def parts(service: ReceiverStatus) -> Iterator[Table | str]:
    """What is shown."""
    since = datetime.fromtimestamp(service.epoch / 1000, UTC)
    what = f"replaying {service.replays}" if service.replays else "serving"
    yield (
        f"{what} since {since:%Y-%m-%d %H:%M:%S}Z, receiver {service.pid}, "
        f"subscriptions {service.subscriptions}, local subscribers {service.local.subscribers}"
    )
    columns = ("stream", "state", "clock", "± ms", "fps", "picture", "frames", "dropped", "age ms")
    yield Table("streams", columns, tuple(_stream_row(*item) for item in service.streams.items()))
    columns = ("group", "batches", "complete", "sets", "full", "spread ms", "late", "dropped", "age ms")
    yield Table("groups", columns, tuple(_group_row(*item) for item in service.groups.items()))
    yield from _LEGEND
    if any(stream.doubtful for stream in service.streams.values()):
        yield _GUESSED
    if any(
        stream.clock == "rtcp" and (stream.uncertainty_ms or 0) >= _ONE_WAY_MS for stream in service.streams.values()
    ):
        yield _ONE_WAY
    for name, stream in service.streams.items():
        for clock, problem in stream.clock_problems.items() if stream.captured else ():
            yield f"  {name}: not {clock}: {problem}"


def _stream_row(name: str, stream: IngestStatus) -> tuple[str, ...]:
    picture = f"{stream.width}x{stream.height} {stream.format}" if stream.width else "-"
    return (
        name,
        stream.state.value,
        (stream.clock or "-") + (" ?" if stream.doubtful else ""),
        _number(stream.uncertainty_ms, 1),
        f"{stream.fps:.2f}",
        picture,
        str(stream.captured),
        _counted(stream.dropped),
        _number(stream.last_frame_age_ms, 0),
    )


def _group_row(name: str, group: GroupStatus) -> tuple[str, ...]:
    spread = "-"
    if group.spread_p50_ms is not None and group.spread_max_ms is not None:
        spread = f"{group.spread_p50_ms:.1f}/{group.spread_max_ms:.1f}"
    return (
        name,
        str(group.batches),
        str(group.complete_batches),
        str(group.sets),
        str(group.full_sets),
        spread,
        str(sum(counts.late for counts in group.counts.values())),
        str(sum(sum(counts.dropped.values()) for counts in group.counts.values())),
        _number(group.last_batch_age_ms, 0),
    )


def _counted(dropped: Mapping[str, int]) -> str:
    return " ".join(f"{cause}:{number}" for cause, number in dropped.items()) or "0"


def _number(value: Any, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
