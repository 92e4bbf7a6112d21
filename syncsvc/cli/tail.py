"""The command that shows what a daemon sends, one line per batch: for eyes, and with ``--json`` for programs."""

import json
import math
import os
import sys
from base64 import b64encode
from pathlib import Path
from typing import cast

import click

from syncsvc.cli.endpoint import endpoints_of
from syncsvc.cli.following import Enough, ends
from syncsvc.cli.meeting import meet, telling
from syncsvc.cli.options import keyed, of_group
from syncsvc.client.subscriber import Subscriber
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, time_of_day
from syncsvc.errors import SubscriptionEnded
from syncsvc.model import FrameBatch, Gap, LateFrame
from syncsvc.observe.figures import Figures
from syncsvc.observe.logs import said
from syncsvc.showing import gap_line

LEGEND = (
    "window's start (UTC)  group #batch  sets  frames by stream  spread: from the first to the last frame of a set,",
    "median/widest  age: from the window's end until now  late: how much later than max_latency_ms it left",
    "skipped: frames that never reached us  missing: streams that the window lacks or did not wait for, and why",
)
LATE_LEGEND = "late at the start: a frame that came when its window had left; batch #... counts it, and lacks it"


@click.command(epilog="Example: syncsvc tail tcp://127.0.0.1:5555 --group lobby --count 10")
@click.argument("endpoint", required=False)
@of_group
@keyed
@ends
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line: the header of docs/protocol.md.")
@click.option("--late", "shows_late", is_flag=True, help="Also a line per frame that came after its window had closed.")
def tail(
    endpoint: str | None,
    group: str | None,
    keys: Path | None,
    enough: Enough,
    as_json: bool,
    shows_late: bool,
) -> None:
    """Print one line per batch of the daemon whose `publish.live` is ENDPOINT, or of the configuration that it runs.

    No pixel is sent for it.

    Without ENDPOINT it is tcp://127.0.0.1:5555.
    Where no service is there it says so, and waits for one; where something else is, or the group is not, it ends.
    It ends after N batches or seconds, when every stream of the daemon has ended, or with Ctrl-C. Batches that never
    came show as lines of their own (with --json on stderr).
    """
    end = _End(enough.seconds)
    endpoint = endpoints_of(endpoint).live
    if not as_json and sys.stdout.isatty():
        click.echo("\n".join((*LEGEND, LATE_LEGEND) if shows_late else LEGEND))
    try:
        with telling(), _subscriber(endpoint, group, keys, shows_late) as batches:
            _follow(batches, as_json, meet(batches, enough.timeout_s), enough, end)
    except TimeoutError as error:
        click.echo(said(f"{endpoint}: {error}", "error"), err=True)
        click.get_current_context().exit(1)
    except BrokenPipeError:  # the reader of our lines left, as `head` does: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (KeyboardInterrupt, SubscriptionEnded):  # the two usual ends
        pass


def _subscriber(
    endpoint: str, group: str | None, keys: Path | None, shows_late: bool
) -> Subscriber[FrameBatch | Gap | LateFrame]:
    if shows_late:
        return Subscriber(endpoint, group, gaps="yield", payload=None, late=True, keys=keys)
    batches = Subscriber(endpoint, group, gaps="yield", payload=None, keys=keys)
    return cast("Subscriber[FrameBatch | Gap | LateFrame]", batches)


class _End:
    """When somebody who wants to watch for so long has watched."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = math.inf if seconds is None else seconds
        self._start_ns = SYSTEM_CLOCK.monotonic_ns()

    def left_s(self) -> float:
        """How long it is until then; 0 from then on."""
        return max(0.0, self._seconds - (SYSTEM_CLOCK.monotonic_ns() - self._start_ns) / NS_PER_S)


def _follow(
    batches: Subscriber[FrameBatch | Gap | LateFrame],
    as_json: bool,
    first_s: float | None,
    enough: Enough,
    end: _End,
) -> None:
    """Print; ``echo`` lets each line leave at once: somebody may wait for it at the other end of a pipe."""
    left, patience_s = enough.count, first_s
    while (left is None or left > 0) and (until_end_s := end.left_s()):
        wait_s = min(until_end_s, math.inf if patience_s is None else patience_s)
        try:
            item = batches.receive(None if wait_s == math.inf else wait_s)
        except TimeoutError:
            if wait_s == until_end_s:
                break
            raise TimeoutError(f"no batch within {enough.timeout_s} s") from None
        patience_s = enough.timeout_s
        if isinstance(item, Gap):
            click.echo(gap_line(item), err=as_json)
            continue
        if as_json:
            header = batches.header | ({"late": True} if isinstance(item, LateFrame) else {})
            click.echo(json.dumps(header, separators=(",", ":"), default=_base64))
        else:
            now_ns = SYSTEM_CLOCK.utc_ns()
            click.echo(late_line(item) if isinstance(item, LateFrame) else batch_line(item, now_ns))
        if left is not None and isinstance(item, FrameBatch):
            left -= 1


def _base64(data: bytes) -> str:
    """JSON has no bytes: a codec's parameters are shown as other tools take them."""
    return str(b64encode(data), "ascii")


def batch_line(batch: FrameBatch, now_ns: int) -> str:
    """One batch for eyes: window, number, sets, frames, spread (median/widest), age, and what was not kept."""
    frames = " ".join(f"{name}:{len(found)}" for name, found in batch.frames.items())
    parts = [
        time_of_day(batch.window_start_ns),
        f"{batch.group} #{batch.seq}",
        f"{len(batch.sets)} set{'s' * (len(batch.sets) != 1)}",
        frames,
    ]
    if batch.sets:
        spread_ms = Figures.of([found.spread_ns / NS_PER_MS for found in batch.sets])
        parts.append(f"spread {spread_ms.p50:.1f}/{spread_ms.max:.1f} ms")
    ended_ns = min(batch.window_end_ns, batch.emitted_ns)  # a window that a drain cut short ended when it left
    parts.append(f"age {max(0, now_ns - ended_ns) // NS_PER_MS} ms")
    if batch.late_ns >= NS_PER_MS:
        parts.append(f"late {batch.late_ns // NS_PER_MS} ms")
    if skipped := " ".join(f"{name}:{counts.skipped}" for name, counts in batch.counts.items() if counts.skipped):
        parts.append(f"skipped {skipped}")
    parts.append("missing " + " ".join(f"{name}:{why}" for name, why in batch.missing.items()) if batch.missing else "")
    return "  ".join(part for part in parts if part)


def late_line(late: LateFrame) -> str:
    """One late frame for eyes: its stream and number, when it was taken, how much later it came, and who counts it."""
    frame = late.frame
    came_ms = (frame.arrival_ns - frame.time_ns) // NS_PER_MS
    return (
        f"late  {late.group} {frame.stream} #{frame.seq}  taken {time_of_day(frame.time_ns)}  "
        f"came {came_ms} ms later  window {time_of_day(late.window_start_ns)}  counted in #{late.seq}"
    )
