"""The process benchmark: what it reports of turns, and that ways of every kind make pictures."""

from syncsvc.bench import process
from syncsvc.bench.pool_ways import NAMES, OURS, THEIRS, WayCost
from syncsvc.bench.process import WayTurn
from syncsvc.bench.rounds import Results


def way_turn(wall_ms: float, cpu_ms: float) -> WayTurn:
    return WayTurn(WayCost(wall_ms, cpu_ms, 0.5, 24), 100 * 2**20)


def test_the_report_compares_hand_over_and_speed_with_what_they_aim_at() -> None:
    found = {
        "sequential": [way_turn(20.0, 20.0)],
        "Pool.map": [way_turn(60.0, 80.0)],
        "FramePool.map": [way_turn(10.5, 21.0)],
        "Pool.map, nothing done": [way_turn(25.0, 40.0)],
        "FramePool.map, nothing done": [way_turn(1.0, 2.0)],
    }
    report = process.report(Results(found, {}), 24, 2)
    assert report.ratios == {
        "CPU: FramePool.map, nothing done / Pool.map, nothing done (aim: 0.1)": 0.05,
        "time: FramePool.map / ideal of 2 workers (aim: 1.1)": 1.05,
        "time: Pool.map / ideal of 2 workers (aim: 1.1)": 6.0,
        "CPU: FramePool.map / sequential (aim: 1.1)": 1.05,
        "CPU: Pool.map / sequential (aim: 1.1)": 4.0,
    }
    (table,) = report.tables
    assert table.rows[0] == ("sequential", "20.00", "20.00", "100", "0.50")
    assert report.data["process"]["Pool.map"]["cost"]["wall_ms"] == 60.0


def test_every_row_is_a_way_that_there_is_and_the_filters_are_all_those_of_the_article() -> None:
    for kind, way in process.WAYS.values():
        assert kind == "alone" or way in (OURS if kind == "ours" else THEIRS)
    assert len(NAMES) == 8
