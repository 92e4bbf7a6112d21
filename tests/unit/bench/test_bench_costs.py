"""The reports of ``transport``, ``pipeline`` and ``article``, and which ways take part."""

import json
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from syncsvc.bench import article, pipeline, record, transport, ways
from syncsvc.bench.handover import HandoverCost
from syncsvc.bench.pipeline import Load, LoadCost
from syncsvc.bench.report import BenchReport, as_object
from syncsvc.bench.rounds import Results
from syncsvc.bench.running_service import NOBODY
from syncsvc.bench.transport import LoadedWay
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.errors import LinkClosed
from syncsvc.observe.figures import Figures

LATENCY = Figures(10, 1.0, 2.0, 2.0)


def plain(report: BenchReport) -> dict[str, Any]:
    """The report as JSON brings it over."""
    return dict(json.loads(json.dumps(as_object(report, "x", "syncsvc bench x"))))


def handover(cpu_ms: float) -> HandoverCost:
    return HandoverCost(cpu_ms / 4, cpu_ms * 3 / 4, LATENCY)


def test_ways_whose_packages_are_missing_are_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"imagezmq", "cv2"}
    monkeypatch.setattr(ways, "find_spec", lambda name: ModuleSpec(name, None) if name in installed else None)
    assert ways.available("bgr24")[:4] == (ways.RING, ways.HAND_OVER, ways.COPY, ways.PACING)
    assert "imagezmq" in ways.available("bgr24")
    assert "imagezmq" not in ways.available("i420"), "it carries images"
    assert {"NetGear", "iceoryx2", "savant-rs"}.isdisjoint(ways.available("bgr24"))
    report = transport.report([], Results({}, {}), Results({}, {}))
    assert report.notes[-1] == (
        "not installed, so not measured: iceoryx2, savant_rs, vidgear; pip install 'syncsvc[bench]' brings them"
    )


def test_transport_compares_with_the_ring_and_with_the_copy_of_the_same_round() -> None:
    ring, copy, alone, pipe = (
        LoadedWay("bgr24", "flat out", way) for way in (ways.RING, ways.COPY, ways.HAND_OVER, "pipe, pickled")
    )
    costs = {ring: (1.0, 10.0), copy: (0.5, 9.0), alone: (0.04, 0.1), pipe: (20.0, 300.0)}
    found = Results({one.label: [handover(cost) for cost in some] for one, some in costs.items()}, {"x": "why"})
    served = Results(
        {kind: [HandoverCost(0.0, cost, Figures())] for kind, cost in {"local": 0.025, "tcp": 1.0}.items()}, {}
    )
    report = transport.report(list(costs), found, served)
    assert report.ratios == {
        "bgr24, flat out, ring / copy alone (aim: 1.3)": pytest.approx(10 / 9),
        "bgr24, flat out, ring, hand-over alone / 0.05 ms (aim: 1)": pytest.approx(0.8),
        "bgr24, flat out, pipe, pickled / ring": 20.0,
        "subscriber, local / 0.05 ms (aim: 1)": 0.5,
        "subscriber, tcp / local (aim: 20)": 40.0,
    }
    assert [row[0] for row in report.tables[0].rows] == [one.label for one in costs]
    assert report.tables[1].rows == (("local", "0.025", "0.000"), ("tcp", "1.000", "0.000"))
    assert "not measured: x: why" in report.notes
    assert plain(report)["transport"][0]["rounds"][1]["sender_ms"] == 2.5


def test_pipeline_compares_each_load_with_the_bare_process_that_does_as_much() -> None:
    assert Load("asap", "bgr24", "local").base == Load("asap", "bgr24")
    assert Load("asap", "bgr24").label == "asap, bare decoding and conversion"
    assert Load("realtime", "encoded", "local").base.label == "realtime, bare decoding"
    service = {"daemon": 0.1, "receiver": 0.2, "nursery": 0.0, "capture clip": 5.2}
    bare, ours, colours = Load("asap", "i420"), Load("asap", "i420", "local"), Load("asap", "bgr24", "local")
    found = Results(
        {
            bare.label: [LoadCost(5.0, {}, 200.0), LoadCost(10.0, {}, 100.0)],
            ours.label: [LoadCost(5.5, service, 180.0), LoadCost(12.0, service, 90.0)],
        },
        {colours.label: "refused"},
    )
    report = pipeline.report([ours, colours], found, 5_000_000)
    assert report.ratios == {"asap, i420, local / asap, bare decoding (aim: 1.10)": pytest.approx(1.1)}
    assert [row[0] for row in report.tables[0].rows] == [bare.label, ours.label]
    assert report.tables[0].rows[1][-1] == "1.100..1.200"
    assert "not measured: asap, bgr24, local: refused" in report.notes


def test_what_coded_pictures_cost_beside_the_decoded_ones_is_told_beside_what_these_cost_alone() -> None:
    assert {one.label for one in pipeline.loads() if one.coded} == {
        "asap, i420 and coded, nobody",
        "realtime, i420 and coded, nobody",
    }
    parts = {"daemon": 0.0, "receiver": 0.0, "nursery": 0.0, "capture clip": 4.0}
    bare, alone, both = Load("asap", "i420"), Load("asap", "i420", NOBODY), Load("asap", "i420", NOBODY, coded=True)
    costs = {bare: (4.0, 4.0, 4.0), alone: (5.0, 5.0, 8.0), both: (5.04, 5.06, 8.04)}
    found = Results({one.label: [LoadCost(ms, parts, 200.0) for ms in some] for one, some in costs.items()}, {})
    ratios = pipeline.report([alone, both], found, 5_000_000).ratios
    assert ratios["asap, i420 and coded, nobody / asap, i420, nobody"] == pytest.approx(1.008)
    assert ratios["asap, i420 and coded, nobody, beside that / 0.05 ms (aim: 1)"] == pytest.approx(0.8)


def test_a_cadence_is_without_the_start() -> None:
    at = [0, 5, 9, 10, 11.5, 12]
    found = article.cadence(
        [round(second * NS_PER_S) for second in at], [NS_PER_MS * n for n in (900, 900, 1, 2, 3, 4)]
    )
    assert found.interval_s == Figures(3, 1.0, 1.5, 1.5)
    assert found.least_interval_s == 0.5
    assert found.get_ms == Figures(4, 2.0, 4.0, 4.0)
    with pytest.raises(LinkClosed, match="only 3 deliveries came"):
        article.cadence([1, 2, 3], [1, 2, 3])


def test_the_article_beside_the_service() -> None:
    theirs = article.Cadence(Figures(5, 2.3, 2.5, 2.5), 2.0, Figures(5, 100.0, 120.0, 120.0))
    ours = article.Cadence(Figures(9, 1.0, 1.01, 1.01), 0.99, Figures(9, 0.5, 0.9, 0.9))
    report = article.report({"pipe per frame": theirs, "syncsvc, ipc": ours}, ("a note",))
    assert report.ratios == {"get: pipe per frame / syncsvc": 200.0}
    assert report.tables[0].rows[1] == ("syncsvc, ipc", "9", "1.000", "0.990..1.010", "0.500", "0.900")
    assert report.notes[-1] == "a note"
    assert plain(report)["article"]["pipe per frame"]["interval_s"]["min"] == 2.0


def test_recording_is_compared_round_by_round_with_bare_remuxing_and_with_its_aim() -> None:
    costs = {record.BARE: (0.02, 0.04), record.ENCODING: (10.0, 20.0), record.COPIED: (0.1, 0.1)}
    found = Results(
        {way: [record.RecordingCost(100, cost) for cost in some] for way, some in costs.items()}, {"x": "why"}
    )
    told = plain(record.report(found))
    assert told["ratios"] == {
        f"{record.COPIED} / {record.BARE}": 2.5,
        f"{record.COPIED} / 0.05 ms (aim: <= 1)": 2.0,
        f"{record.ENCODING} / {record.COPIED}": 100.0,
    }
    assert told["record"][record.COPIED] == [{"frames": 100, "cpu_ms": 0.1}] * 2
    assert told["notes"][-1] == "not measured: x: why"
