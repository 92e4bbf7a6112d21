"""The reports, and what the one of accuracy says of runs, without measuring anything."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncsvc.bench import accuracy, report
from syncsvc.bench.cpu_usage import Reading, Usage
from syncsvc.bench.scenarios import cases
from syncsvc.bench.score import Judge
from syncsvc.bench.tournament import NAMES, OURS, TournamentResult, contest_live
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.demo.comparison import Truth
from syncsvc.demo.verdict import judge
from syncsvc.errors import UsageError
from syncsvc.observe.tables import Table
from tests.unit.demo import histories as make

JUDGE = Judge(Truth({}, 1, NS_PER_S, 0, 0))
COMMAND = "syncsvc bench transport"
REPORT = report.BenchReport(
    tables=(Table("a title", ("way", "ms"), (("ring", "0.5"), ("pipe [x]", "18.4"))),),
    ratios={"pipe / ring": 36.8},
    plot=report.Bars("title", "ms", {"ring": 0.5}),
    notes=("a note",),
    data={"rounds": [1, 2]},
)


def plain(some: report.BenchReport) -> dict[str, Any]:
    """The report as JSON brings it over."""
    return dict(json.loads(json.dumps(report.as_object(some, "transport", COMMAND))))


def test_usage_is_cpu_per_frame_by_process_and_the_rate() -> None:
    before = Reading(5 * NS_PER_S, 100, {"daemon": 10 * NS_PER_MS, "receiver": 0})
    after = Reading(7 * NS_PER_S, 150, {"daemon": 15 * NS_PER_MS, "receiver": 100 * NS_PER_MS})
    assert Usage.between(before, after) == Usage(50, {"daemon": 0.1, "receiver": 2.0}, 25.0)


def test_a_report_is_printed_whole_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    report.show(REPORT, COMMAND)
    printed = capsys.readouterr().out
    for words in ("cores", "command: syncsvc bench transport", "a title", "pipe [x]", "pipe / ring: 36.80 x", "a note"):
        assert words in printed


def test_a_report_as_json_has_machine_command_ratios_and_data() -> None:
    found = plain(REPORT)
    assert found["benchmark"] == "transport"
    assert found["ratios"] == {"pipe / ring": 36.8}
    assert found["rounds"] == [1, 2]
    assert {"cpu", "cores", "kernel", "python", "av", "numpy"} <= found["machine"].keys()


def test_a_report_as_markdown_is_a_section_of_a_page() -> None:
    assert report.as_markdown(REPORT, COMMAND).splitlines() == [
        "```sh", "syncsvc bench transport", "```", "", "a title:", "",
        "| way | ms |", "| --- | --- |", "| ring | 0.5 |", "| pipe [x] | 18.4 |", "",
        "- pipe / ring: 36.80 x", "- a note",
    ]  # fmt: skip


def test_markdown_leaves_ratios_without_an_aim_to_the_tables_where_others_have_one() -> None:
    aimed = replace(REPORT, ratios={"pipe / ring": 36.8, "ring / copy (aim: 1.3)": 1.1})
    text = report.as_markdown(aimed, COMMAND)
    assert "- ring / copy (aim: 1.3): 1.10 x" in text
    assert "36.80" not in text


def test_plotting_without_matplotlib_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"^--plot needs matplotlib .*install syncsvc\[bench\]$"):
        report.save_plot(REPORT, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_the_accuracy_report_never_judges_but_names_what_broke() -> None:
    broken = replace(make.history(), max_skew_ns=1)
    live = {"rtcp": (accuracy.LIVE["rtcp"], judge(broken), contest_live(broken, 2))}
    found = accuracy.report({}, live)
    assert "live-rtcp: broken: batch 0 has a set that spreads 7.0 ms, allowed are 1e-06 ms" in found.notes
    assert [row[0] for row in found.tables[-2].rows] == ["fast", "slow"]


def test_every_rule_is_scored_on_the_frames_of_a_live_run() -> None:
    outcome = contest_live(make.history(), 2)
    assert set(outcome.scores) == set(NAMES)
    ours = outcome.scores[OURS]
    assert (ours.sets, ours.identical_pct, ours.excess_p99_ms, ours.covered_pct) == (30, 100.0, 0.0, 100.0)
    assert ours.error_ms.p99 == pytest.approx(0.1)
    assert outcome.scores["arrival+nearest"].error_ms.p50 == 50.0
    assert outcome.scores["arrival+position"].identical_pct < 50


def test_a_rule_without_its_stamps_is_left_out() -> None:
    good = make.history()
    modelled = [
        replace(b, frames={name: tuple(replace(f, clock="model") for f in some) for name, some in b.frames.items()})
        for b in good.batches
    ]
    outcome = contest_live(replace(good, batches=tuple(modelled)), 2)
    assert set(NAMES) - set(outcome.scores) == {"NTP+ROS", "NTP+savant"}


def test_the_accuracy_report_has_a_line_per_case_and_a_column_per_rule() -> None:
    live = {"rtcp": (accuracy.LIVE["rtcp"], judge(make.history()), contest_live(make.history(), 2))}
    found = accuracy.report({"four": (cases()["four"], TournamentResult({}, JUDGE))}, live)
    identical = found.tables[0]
    assert identical.columns == ("case", *NAMES)
    assert [row[0] for row in identical.rows] == ["four", "live-rtcp"]
    assert identical.rows[1][identical.columns.index(OURS)] == "100.00"
    assert isinstance(found.plot, report.Grid)
    assert list(found.plot.rows) == ["four cameras, RTCP", "live, four cameras, RTCP"]
    assert plain(found)["live"]["rtcp"]["rules"][OURS]["sets"] == 30


@pytest.mark.usefixtures("plotting")
def test_a_plot_shows_bars_or_a_grid(tmp_path: Path) -> None:
    grid = report.Grid("title", ("one", "two"), {"first": (1.0, None), "second": (99.5, 100.0)})
    wide = report.Bars("title", "ms", {"ring": 0.05, "queue": 35.0}, is_log=True)
    for name, some in {"bars": REPORT, "log": replace(REPORT, plot=wide), "grid": replace(REPORT, plot=grid)}.items():
        report.save_plot(some, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
