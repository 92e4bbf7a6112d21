"""``syncsvc align`` on a command line: its table, and one clear line for whatever is wrong with words or file."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

from syncsvc.cli import main
from syncsvc.observe.records import LostRecords
from syncsvc.testing import MS, T0, frame
from tests.logs import LoggedBench, write


@pytest.fixture
def bench() -> LoggedBench:
    """Three windows of two streams that are 30 ms apart."""
    bench = LoggedBench(["gate", "yard"], max_skew_ms=40)
    for n in range(30):
        bench.pass_to(T0 + (100 * n + 50) * MS)
        bench.add(frame("gate", n, T0 + 100 * n * MS), frame("yard", n, T0 + (100 * n + 30) * MS, clock="arrival"))
    bench.finish()
    return bench


@pytest.fixture
def log(bench: LoggedBench, tmp_path: Path) -> Path:
    return write(tmp_path / "seen.jsonl", bench.log())


def align(*words: str | Path) -> tuple[int, list[str], list[str]]:
    result = CliRunner().invoke(main, ["align", *map(str, words)])
    return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()


def test_a_line_per_batch_and_a_summary(log: Path) -> None:
    code, out, err = align(log)
    assert (code, err, len(out)) == (0, [], 4)
    assert out[0] == "00:00:00.000Z  bench #0  10 sets  gate:10 yard:10  spread 30.0/30.0 ms  age 150 ms"
    assert out[-1] == (
        "bench: 3 batches, 2 complete; 30 sets, 30 of all streams; 60 of 60 frames in sets; 0 late; "
        "spread 30.0/30.0 ms (p50/p99)"
    )


def test_headers_as_tail_prints_them(log: Path, bench: LoggedBench) -> None:
    code, out, _ = align(log, "--json", "--group", "bench")
    assert code == 0
    assert [list(json.loads(line)) for line in out] == [
        ["v", "group", "run_id", "epoch", "seq", "late_ns", "window", "emitted_ns", "complete", "missing",
         "streams", "counts", "frames", "sets"]
    ] * 3  # fmt: skip
    assert [json.loads(line)["seq"] for line in out] == [0, 1, 2]


def test_a_table_of_what_another_skew_gives(log: Path) -> None:
    code, out, err = align(log, "--max-skew-ms", "20", "--max-latency-ms", "400")
    rows = [(line[:28].strip(), *line[28:].split()) for line in out]
    assert (code, err) == (0, [])
    assert rows == [
        ("bench", "recorded", "now"),
        ("batches", "3", "3"),
        ("complete", "2", "2"),
        ("sets", "30", "0"),
        ("sets of all streams", "30", "0"),
        ("frames", "60", "60"),
        ("frames in no set", "0", "60"),
        ("late frames", "0", "0"),
        ("spread p50/p99 ms", "30.0/30.0", "-"),
        ("latency p50/p99 ms", "150.0/150.0", "150.0/150.0"),
    ]


def test_a_latency_that_was_not_known_to_the_run(log: Path) -> None:
    code, out, _ = align(log, "--latency-ms", "yard=28", "--json")
    spreads = {some[0] for line in out for some in json.loads(line)["sets"]}
    assert (code, spreads) == (0, {2 * MS})


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--group", "lobby"], "--group lobby: {log} has bench"),
        (["--reference", "roof"], "--reference roof: no such stream; there are gate, yard"),
        (["--latency-ms", "roof=5"], "--latency-ms roof: no such stream; {log} has gate, yard"),
        (["--latency-ms", "gate"], "--latency-ms: found 'gate'"),
        (["--latency-ms", "gate=nan"], "--latency-ms: found 'gate=nan'"),
        (["--latency-ms", "gate=-1"], "--latency-ms: found 'gate=-1'"),
        (["--max-skew-ms", "1000"], "--max-skew-ms: must be less than the window, which is 1000 ms"),
        (["--max-latency-ms", "0"], "0.0 is not in the range"),
    ],
)
def test_words_that_fit_no_log_are_refused(log: Path, words: list[str], problem: str) -> None:
    code, out, err = align(log, *words)
    assert (code, out, len(err)) == (2, [], 1)
    assert problem.format(log=log) in err[0]


@pytest.mark.parametrize("options", [[], ["--json"], ["--max-skew-ms", "20"]])
def test_a_file_that_is_no_log_is_refused_in_one_line(tmp_path: Path, options: list[str]) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(bytes(range(256)) * 100)
    for path in (garbage, tmp_path / "none", tmp_path):
        code, out, err = align(path, *options)
        assert (code, out, len(err)) == (78, [], 1)
        assert err[0].startswith(f"syncsvc: {path}")


@pytest.mark.parametrize("options", [[], ["--max-skew-ms", "20"]])
@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("uncertainty_ns", 10**30, "`$.uncertainty_ns`"),
        ("now_ns", T0 + 400 * 86_400 * 1000 * MS, "its time is 400 days beyond what came before it"),
    ],
)
def test_a_number_that_no_service_writes_is_refused_in_one_line(
    log: Path, options: list[str], key: str, value: int, problem: str
) -> None:
    lines = log.read_text().splitlines(keepends=True)
    place = [number for number, line in enumerate(lines) if '"e":"add"' in line][20]
    lines[place] = re.sub(rf'"{key}":\d+', f'"{key}":{value}', lines[place])
    log.write_text("".join(lines))
    code, _, err = align(log, *options)
    assert (code, len(err)) == (78, 1)
    assert err[0].startswith(f"syncsvc: {log}:{place + 1}: ")
    assert problem in err[0]


@pytest.mark.parametrize("options", [[], ["--max-skew-ms", "20"]])
def test_what_the_log_lacks_is_said_and_shows_in_the_exit_code(
    bench: LoggedBench, tmp_path: Path, options: list[str]
) -> None:
    records = bench.log()
    path = write(tmp_path / "seen.jsonl", [*records[:-20], LostRecords(count=7), *records[-10:]])
    code, out, err = align(path, *options)
    assert code == 1
    assert out
    assert err == [f"syncsvc: {path}:{len(records) - 19}: 7 records are missing here: the disk was too slow"]


@pytest.mark.parametrize(("pairing", "theirs"), [("", "the rule of an older version"), ("luck", "the rule 'luck'")])
@pytest.mark.parametrize("words", [[], ["--max-skew-ms", "20"]])
def test_a_log_of_another_rule_is_refused_in_words(
    bench: LoggedBench, tmp_path: Path, pairing: str, theirs: str, words: list[str]
) -> None:
    run, *events = bench.log()
    path = write(tmp_path / "old.jsonl", [structs.replace(run, pairing=pairing), *events])
    code, out, err = align(path, *words)
    assert (code, out) == (78, [])
    [line] = err
    assert f"its sets were formed by {theirs}; this version forms them by 'turns'" in line
