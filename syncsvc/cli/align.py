"""The command that makes a recorded run's decisions again: to see that they were right, or what others would give."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from syncsvc import wire
from syncsvc.audit.decisions import Changes, Emission, Replay, WhatIf, survey
from syncsvc.audit.summary import Summary
from syncsvc.cli.numbers import FiniteRange
from syncsvc.cli.options import of_group
from syncsvc.cli.tail import batch_line
from syncsvc.clock import NS_PER_MS
from syncsvc.errors import UsageError
from syncsvc.observe.figures import Figures
from syncsvc.observe.log_reader import read
from syncsvc.observe.logs import said

EXIT_INCOMPLETE = 1
MOST_MS = 60_000
"""What a configuration allows."""


@click.command(epilog="Example: syncsvc align seen.jsonl --max-skew-ms 20 --latency-ms gate=85")
@click.argument("file", type=click.Path(path_type=Path))
@of_group
@click.option("--max-skew-ms", type=FiniteRange(0, MOST_MS, max_open=True), help="Another widest spread of a set.")
@click.option(
    "--max-latency-ms", type=FiniteRange(0, MOST_MS, min_open=True), help="Another deadline after a window's end."
)
@click.option("--reference", metavar="NAME", help="The stream of which every set of its groups holds a frame.")
@click.option(
    "--latency-ms",
    "latencies",
    metavar="NAME=MS",
    multiple=True,
    help="Another latency of a stream: moves its frames that are stamped by model or arrival. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per batch, as `tail --json` prints it.")
def align(
    file: Path,
    group: str | None,
    max_skew_ms: float | None,
    max_latency_ms: float | None,
    reference: str | None,
    latencies: Sequence[str],
    as_json: bool,
) -> None:
    """Make the decisions in FILE again, which `syncsvc run --log-observations FILE` wrote.

    Without options that change a setting the batches are those of the run, bit for bit. With any of them it shows what
    would have come out instead: a table per group or, with --json, the new batches.
    """
    changes = Changes(_ns(max_skew_ms), _ns(max_latency_ms), reference, dict(map(_latency, latencies)))
    if group is not None or changes:
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise UsageError(f"{file}: with these options the log is read twice, so it must be a regular file")
        _check(file, group, changes)
    replay = Replay(str(file))
    if changes:
        _compare(file, group, replay, changes, as_json)
    else:
        _repeat(file, group, replay, as_json)
    for loss in replay.losses:
        click.echo(said(str(loss), "error"), err=True)
    if replay.losses:
        click.get_current_context().exit(EXIT_INCOMPLETE)


def _check(file: Path, group: str | None, changes: Changes) -> None:
    """Refuse names that the log does not have, and a skew that does not fit its windows."""
    streams, groups = survey(file)
    if group is not None and group not in groups:
        raise UsageError(f"--group {group}: {file} has {', '.join(sorted(groups))}")
    chosen = {name: settings for name, settings in groups.items() if group in (None, name)}
    members = {stream for some in chosen.values() for settings in some for stream in settings.streams}
    if changes.reference is not None and changes.reference not in members:
        raise UsageError(f"--reference {changes.reference}: no such stream; there are {', '.join(sorted(members))}")
    for name in changes.latency_ns:
        if name not in streams:
            raise UsageError(f"--latency-ms {name}: no such stream; {file} has {', '.join(sorted(streams))}")
    windows = [settings.window_ns for some in chosen.values() for settings in some if settings.window_ns]
    if changes.max_skew_ns is not None and windows and changes.max_skew_ns >= (window_ns := min(windows)):
        raise UsageError(f"--max-skew-ms: must be less than the window, which is {window_ns / NS_PER_MS:g} ms")


def _repeat(file: Path, group: str | None, replay: Replay, as_json: bool) -> None:
    outcomes: defaultdict[str, Summary] = defaultdict(Summary)
    for number, record in read(file):
        emission = replay.feed(number, record)
        if emission is None or group not in (None, emission.batch.group):
            continue
        outcomes[emission.batch.group].add(emission)
        print(_json(emission) if as_json else batch_line(emission.batch, emission.batch.emitted_ns))
    if not as_json:
        for name, outcome in outcomes.items():
            print(f"{name}: {_summary(outcome)}")


def _compare(file: Path, group: str | None, replay: Replay, changes: Changes, as_json: bool) -> None:
    what_if = WhatIf(changes)
    before: defaultdict[str, Summary] = defaultdict(Summary)
    after: defaultdict[str, Summary] = defaultdict(Summary)
    for number, record in read(file):
        emission = replay.feed(number, record)
        if emission is not None and group in (None, emission.batch.group):
            before[emission.batch.group].add(emission)
        for emission in what_if.feed(record) if replay.is_whole else ():
            if group in (None, emission.batch.group):
                after[emission.batch.group].add(emission)
                if as_json:
                    print(_json(emission))
    if not as_json:
        for name in sorted(before.keys() | after.keys()):
            print("\n".join(_table(name, before[name], after[name])))


def _json(emission: Emission) -> str:
    return json.dumps(wire.decode_header(emission.header), separators=(",", ":"))


def _summary(outcome: Summary) -> str:
    return (
        f"{outcome.batches} batches, {outcome.complete} complete; {outcome.sets} sets, {outcome.full_sets} of all "
        f"streams; {outcome.paired} of {outcome.frames} frames in sets; {outcome.late} late; "
        f"spread {_p50_p99(outcome.spreads_ns)} ms (p50/p99)"
    )


def _table(name: str, before: Summary, after: Summary) -> Iterator[str]:
    yield f"{name:<28}{'recorded':>16}{'now':>16}"
    for what, old, new in _rows(before, after):
        yield f"  {what:<26}{old:>16}{new:>16}"


def _rows(before: Summary, after: Summary) -> Iterator[tuple[str, str, str]]:
    for what, figure in {
        "batches": "batches", "complete": "complete", "sets": "sets", "sets of all streams": "full_sets",
        "frames": "frames", "frames in no set": "unpaired", "late frames": "late",
    }.items():  # fmt: skip
        yield what, str(getattr(before, figure)), str(getattr(after, figure))
    yield "spread p50/p99 ms", _p50_p99(before.spreads_ns), _p50_p99(after.spreads_ns)
    yield "latency p50/p99 ms", _p50_p99(before.latencies_ns), _p50_p99(after.latencies_ns)


def _p50_p99(values_ns: Sequence[int]) -> str:
    figures = Figures.of(values_ns)
    return f"{figures.p50 / NS_PER_MS:.1f}/{figures.p99 / NS_PER_MS:.1f}" if figures.count else "-"


def _ns(value_ms: float | None) -> int | None:
    return None if value_ms is None else round(value_ms * NS_PER_MS)


def _latency(word: str) -> tuple[str, int]:
    stream, _, number = word.partition("=")
    try:
        latency_ms = float(number)
    except ValueError:
        latency_ms = -1.0
    if not stream or not 0 <= latency_ms <= MOST_MS:
        raise UsageError(f"--latency-ms: found {word!r}, allowed: a stream, '=' and 0 to {MOST_MS} milliseconds")
    return stream, round(latency_ms * NS_PER_MS)
