"""Batches and the verdict as texts and as plain values."""

import json
from dataclasses import replace

import pytest

from syncsvc.demo import screen
from syncsvc.demo.trial import SCENARIO
from syncsvc.demo.verdict import judge
from tests.unit.demo import histories as make


def test_a_batch_as_a_row_and_as_a_line() -> None:
    assert screen.cells(make.batch(0)) == ("00:16:40.000Z", "#0", "10", "yes", "7.0 / 7.0 ms", "210 ms")
    empty = replace(make.batch(1), sets=(), missing={"slow": "stalled"})
    assert screen.line(empty) == (
        "00:16:41.000Z  #1  0 sets  complete no, slow:stalled  spread -  age 210 ms  fast:20 slow:10"
    )


def test_a_window_that_the_end_cut_short_has_no_negative_age() -> None:
    whole = make.batch(3)
    cut = replace(whole, emitted_ns=whole.window_start_ns + 10**8, received_ns=whole.window_start_ns + 12 * 10**7)
    assert screen.cells(cut)[-1] == "20 ms"


def test_the_words_of_the_table_are_explained_and_stand_over_the_lines_of_a_pipe_too() -> None:
    assert screen.header() == ("window (UTC)  batch  sets  complete  spread p50/max  age  frames by camera")
    for word in ("complete:", "spread:", "age:", "the oracle:"):
        assert word in " ".join(screen.LEGEND)


def test_the_verdict_is_one_line_that_says_kept_or_why_not() -> None:
    kept = screen.verdict_line(judge(make.history()), SCENARIO)
    assert kept.startswith("contract kept: 6 batches, 60 sets; stamp error p99 fast 0.10, slow 0.10 ms; ")
    assert "100.0 % of 30 sets as the oracle's; 0 frames lost and 0 twice of 180" in kept
    broken = screen.verdict_line(judge(replace(make.history(), max_skew_ns=1)), SCENARIO)
    assert broken.startswith("CONTRACT BROKEN: batch 0 has a set that spreads 7.0 ms")
    assert "(and 57 more)" in broken
    assert "\n" not in kept + broken


def test_the_verdict_as_json_carries_figures_and_reasons() -> None:
    found = json.loads(json.dumps(screen.verdict_object(judge(make.history()), SCENARIO)))
    assert found["kept"] is True
    assert found["problems"] == []
    assert found["identical_pct"] == 100.0
    assert found["cameras"]["fast"]["stamp_error_ms"]["p99"] == pytest.approx(0.1)
