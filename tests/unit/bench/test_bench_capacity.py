"""What counts as a loss, what counts as memory of one's own, and the report, without running anything."""

import json
from typing import Any

from syncsvc.bench import capacity
from syncsvc.bench.memory import private_bytes
from syncsvc.bench.report import BenchReport, as_object
from syncsvc.model import Counts
from syncsvc.observe.status import GroupStatus

SMAPS = """\
55d0-55d1 r-xp 00000000 08:01 12  /usr/bin/python3.11
Size:                100 kB
Private_Clean:         4 kB
Private_Dirty:         0 kB
7f00-7f01 rw-s 00000000 00:01 77  /memfd:syncsvc-ring-1 (deleted)
Private_Clean:         0 kB
Private_Dirty:    150000 kB
7f02-7f03 rw-p 00000000 00:00 0
Private_Clean:         0 kB
Private_Dirty:      2044 kB
VmFlags: rd wr mr mw me ac
"""


def group(batches: int, complete: int, **counts: Any) -> GroupStatus:
    one = Counts(**{"captured": 25 * batches, "delivered": 0, "late": 0, "dropped": {}} | counts)
    each = {"cam0": one, "cam1": one}
    return GroupStatus(tuple(each), batches, complete, 0, 0, 0, None, 1000.0, 40.0, 500.0, None, None, each)


def plain(report: BenchReport) -> dict[str, Any]:
    """The report as JSON brings it over."""
    return dict(json.loads(json.dumps(as_object(report, "x", "syncsvc bench x"))))


def test_rings_are_not_counted_as_memory_of_ones_own() -> None:
    assert private_bytes(SMAPS) == 2048 * 1024


def test_nothing_is_said_where_nothing_was_lost() -> None:
    assert capacity.what_broke(group(5, 3), group(15, 13), 10) == ""


def test_every_kind_of_loss_breaks_a_level() -> None:
    before = group(5, 3)
    assert capacity.what_broke(before, group(15, 12), 10) == "1 of 10 batches incomplete"
    assert capacity.what_broke(before, group(15, 13, late=2), 10) == "4 frames late"
    assert capacity.what_broke(before, group(15, 13, dropped={"ring_full": 1, "decode_error": 2}), 10) == (
        "6 frames dropped"
    )
    assert capacity.what_broke(before, group(15, 13, captured=250), 10) == "250 of 500 frames captured"
    assert capacity.what_broke(before, group(12, 10), 10) == "7 batches in 10 s"


def test_the_report_sets_the_service_beside_bare_decoders() -> None:
    levels = [
        capacity.Level(8, True, "", 30.0, (40.0, 41.0)),
        capacity.Level(9, False, "1 frames late"),
        capacity.Level(9, False, "2 frames late"),
    ]
    found = {
        capacity.BARE: capacity.Search(10, 11, [capacity.Level(10, True), capacity.Level(11, False, "900 ms late")]),
        "i420": capacity.Search(8, 9, levels),
        "encoded": capacity.Search(0, 1, [capacity.Level(1, False, "x")]),
    }
    report = capacity.report(20.0, "local", found, ("not measured: jpeg: refused",))
    assert report.ratios == {"i420 / bare decoders": 0.8, "encoded / bare decoders": 0.0}
    assert report.tables[0].rows == (
        ("bare decoders", "10", "", "11: 900 ms late", "", ""),
        ("i420", "8", "0.9 x bare decoders", "9: 2 frames late", "30.0", "40.0 .. 41.0"),
        ("encoded", "0", "64", "1: x", "", ""),
    )
    assert "not measured: jpeg: refused" in report.notes
    assert plain(report)["capacity"]["i420"]["levels"][0]["capture_mib"] == 30.0
