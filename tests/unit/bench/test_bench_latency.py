"""Which frame a batch waited for, and the figures that follow."""

from syncsvc.bench import latency
from syncsvc.bench.measured_subscriber import Receipt
from syncsvc.bench.rounds import Results
from syncsvc.clock import NS_PER_MS
from syncsvc.observe.figures import Figures

MS = NS_PER_MS


def seen(number: int, received_ms: float, *, is_complete: bool = True) -> Receipt:
    """The batch of one window of 100 ms of two streams: ``one`` at 0, 50, ..., ``two`` 7 ms later; each 2 ms old."""
    frames = [
        (name, at * MS, (at + 2) * MS)
        for name, phase in (("one", 0), ("two", 7))
        for at in (100 * number + phase, 100 * number + 50 + phase)
    ]
    window = (100 * number * MS, 100 * (number + 1) * MS)
    received_ns = round(received_ms * MS)
    return Receipt(received_ns, 0, 0, window, received_ns - MS, is_complete, frames)


def test_a_batch_waits_for_the_first_frame_past_its_edge_of_the_last_stream() -> None:
    arrivals = latency.arrivals_of([seen(1, 0), seen(0, 0)])
    assert list(arrivals) == ["one", "two"]
    assert arrivals["one"][0] == (0, 2 * MS)
    assert latency.last_needed_ns(arrivals, 100 * MS) == 109 * MS
    assert latency.last_needed_ns(arrivals, 101 * MS) == 152 * MS, "of stream one it is the next frame"
    assert latency.last_needed_ns(arrivals, 107 * MS + 1) == 159 * MS
    assert latency.last_needed_ns(arrivals, 151 * MS) is None, "stream one was not heard so far"


def test_latencies_leave_out_the_warm_up_what_is_incomplete_and_what_was_not_seen_out() -> None:
    batches = [seen(0, 111), seen(1, 212), seen(2, 316, is_complete=False), seen(3, 413.5), seen(4, 520)]
    found = latency.delays_of(batches, 200 * MS, 0)
    assert found.needed_ms == Figures(2, 3.0, 4.5, 4.5)
    assert found.emitted_ms == Figures(2, 1.0, 1.0, 1.0)
    later = latency.delays_of([seen(0, 162), seen(1, 212)], 0, 20 * MS)
    assert later.needed_ms == Figures(1, 3.0, 3.0, 3.0), "20 ms past the edge is the frame at 157"
    assert not latency.delays_of(batches[:2], 0, 20 * MS).needed_ms.count, (
        "what left before it came was at its deadline"
    )


def test_the_report_has_the_worst_of_all_rounds_and_the_median_of_the_others() -> None:
    turns = [
        latency.Delays(Figures(10, p50, 2 * p50, 3 * p50), Figures(10, 0.5, 1.0, 1.0), Figures(10, 0.1, 0.2, 0.3))
        for p50 in (1.0, 9.0, 3.0)
    ]
    found = latency.report(Results({"local, windows of 1000 ms": turns}, {"tcp, x": "why"}))
    assert found.tables[0].rows == (
        ("local, windows of 1000 ms", "30", "3.00", "6.00", "27.00", "0.50", "1.00", "0.10"),
    )
    assert found.ratios == {
        "local, windows of 1000 ms: p50 / 2 ms (aim: 1)": 1.5,
        "local, windows of 1000 ms: p99 / 10 ms (aim: 1)": 0.6,
    }
    assert "not measured: tcp, x: why" in found.notes
