"""The command that has a function called for every frame or set of a service, by worker processes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import click

from syncsvc.certificates import Guard
from syncsvc.cli.endpoint import endpoints_of
from syncsvc.cli.following import Enough, ends, follow
from syncsvc.cli.guarded import guard_of, guarded
from syncsvc.cli.meeting import meet, telling
from syncsvc.cli.numbers import FiniteRange
from syncsvc.cli.options import json_at_end, keyed, of_group, when_late
from syncsvc.cli.progress import progress
from syncsvc.cli.stopping import stop_on_signals
from syncsvc.client.inlets import Mode
from syncsvc.client.subscriber import Subscriber
from syncsvc.lifecycle import StopToken
from syncsvc.observe.logs import said
from syncsvc.pool.frame_pool import FramePool
from syncsvc.sinks.process.answers import Answers
from syncsvc.sinks.process.process_sink import ProcessSink, WhenLate
from syncsvc.sinks.process.target import Target, argument, begin_worker, find_target
from syncsvc.wire.result import Per

_FOLDERS: Final = ("--results-keys", "--results-clients")


@click.command(epilog="Example: syncsvc process tcp://127.0.0.1:5555 motion --group lobby --arg threshold=30")
@click.argument("endpoint")
@click.argument("target")
@of_group
@click.option(
    "--per", type=click.Choice(["frame", "set"]), default="frame", show_default=True, help="What it is called with."
)
@click.option("--workers", metavar="N", type=click.IntRange(1, 256), help="Worker processes (one a core).")
@click.option(
    "--arg", "words", metavar="KEY=VALUE", multiple=True, help="An argument for it; JSON, or a text. Again for more."
)
@click.option(
    "--publish", metavar="ENDPOINT", default="tcp://127.0.0.1:5557", show_default=True, help="Where results go."
)
@when_late("drop frames, or take every batch in turn, as far as the service's history reaches.")
@click.option(
    "--mode", type=click.Choice(["auto", "live", "local", "lossless"]), help="auto; lossless with --when-late wait."
)
@click.option(
    "--limit",
    "limit_s",
    metavar="SECONDS",
    type=FiniteRange(min=0, min_open=True),
    help="The longest that a call may take.",
)
@keyed
@guarded(*_FOLDERS)
@ends
@json_at_end
def process(endpoint: str, target: str, words: tuple[str, ...], as_json: bool, enough: Enough, **given: Any) -> None:
    """Call TARGET for every frame, or set, of the daemon whose `publish.live` is ENDPOINT, and publish the results.

    TARGET is package.module:function, or one of blur, contour, detail, edges, emboss, sharpen, smooth, smooth_more
    (pictures) and motion (the share of pixels that changed). It is called in worker processes, with a Frame or a
    FrameSet, which lies in shared memory; with a parameter `previous` it is given the one before too. What it returns,
    arrays or plain data, goes out under `result/GROUP`, in order: `Subscriber(endpoint, results=True)` reads it.

    It ends after N batches or seconds, when every stream of the daemon has ended, or with Ctrl-C, and says what was
    published, and what was not and why: `late` (it could not keep up), `reclaimed` (read on the daemon's host, and held
    for too long), `stopped`.
    """
    guard = guard_of(given["served_keys"], given["served_clients"], _FOLDERS, {"--publish": given["publish"]})
    wanted = _Wanted(endpoints_of(endpoint).live, find_target(target, dict(map(argument, words))), given, guard)
    report, problem = _process(wanted, enough)
    click.echo(json.dumps(report) if as_json else _shown(report))
    if problem:
        click.echo(said(f"{wanted.live}: {problem}", "error"), err=True)
    if problem or report["errors"]:
        click.get_current_context().exit(1)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for, checked."""

    live: str
    target: Target
    given: Mapping[str, Any]
    guard: Guard | None

    @property
    def mode(self) -> Mode:
        """In place where that can be; where it is to wait, by credit, so that the service keeps what is to come."""
        return cast("Mode", self.given["mode"] or ("lossless" if self.given["when_late"] == "wait" else "auto"))


def _process(wanted: _Wanted, enough: Enough) -> tuple[dict[str, Any], str]:
    """Work to the end; the numbers, and what went wrong."""
    given, problem = wanted.given, ""
    with (
        stop_on_signals() as stop,
        progress("waiting for a batch") as show,
        FramePool(given["workers"], begin_worker, timeout_s=given["limit_s"]) as pool,
    ):
        pool.wait_ready()
        answers = Answers(given["publish"], wanted.target.name, wanted.guard)
        click.echo(said(f"ready results={answers.endpoint} workers={pool.workers}", "info"), err=True)
        sink = ProcessSink(
            pool, wanted.target, cast("Per", given["per"]), cast("WhenLate", given["when_late"]), answers
        )

        def tell() -> None:
            answers.check()
            left, lost = sink.handed - answers.tally.published, sink.dropped.total()
            show(f"{answers.tally.published} published, {left} under way, {lost} dropped")

        try:
            with telling(), Subscriber(wanted.live, given["group"], wanted.mode, keys=given["keys"]) as batches:
                try:
                    _follow(batches, enough, stop, sink, tell)
                except TimeoutError as error:
                    problem = str(error)
                missed = batches.stats.missed
                answers.finish(is_over=not stop.is_set, give_up=pool.close, on_look=tell)
        except BaseException:
            pool.close()
            answers.finish(is_over=False, give_up=pool.close)
            raise
    return _report(sink, answers, pool, missed), problem


def _follow(batches: "Subscriber[Any]", enough: Enough, stop: StopToken, sink: ProcessSink, tell: Any) -> None:
    for batch in follow(batches.receive, enough, meet(batches, enough.timeout_s), stop):
        if batch is not None:
            sink.take(batch, lambda: stop.is_set)
        tell()


def _report(sink: ProcessSink, answers: Answers, pool: FramePool, missed: int) -> dict[str, Any]:
    tally = answers.tally
    spent = tally.spent_ms()
    return {
        "batches": sink.batches,
        "missed_batches": missed,
        "taken": sink.taken,
        "published": tally.published,
        "dropped": dict(sink.dropped),
        "errors": dict(tally.errors),
        "first_error": tally.first_error,
        "workers": pool.workers,
        "workers_died": pool.stats.died,
        "retried": pool.stats.retried,
        "copied_bytes_held": pool.held_bytes,
        "call_ms": {"p50": spent.p50, "p99": spent.p99, "max": spent.max},
        "results": answers.endpoint,
    }


def _shown(report: Mapping[str, Any]) -> str:
    """The numbers for eyes."""
    call = report["call_ms"]
    lines = [
        f"{report['published']} results of {report['taken']} in {report['batches']} batches; a call took "
        f"{call['p50']:.1f} ms, at most {call['max']:.1f}, by {report['workers']} workers"
    ]
    if report["missed_batches"]:
        lines.append(f"{report['missed_batches']} batches missed")
    if report["dropped"]:
        lines.append(f"dropped: {', '.join(f'{number} {cause}' for cause, number in report['dropped'].items())}")
    if report["errors"]:
        kinds = ", ".join(f"{number} {name}" for name, number in report["errors"].items())
        lines.append(f"errors: {kinds}; the first: {report['first_error']}")
    if report["workers_died"]:
        lines.append(f"{report['workers_died']} workers died, {report['retried']} calls made again")
    return "\n".join(lines)
