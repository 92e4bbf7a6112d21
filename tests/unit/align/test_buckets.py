"""Buckets and watermarks by themselves."""

import pytest

from syncsvc.align.buckets import WindowBuckets
from syncsvc.align.watermark import StreamWatermark, group_passed
from syncsvc.model import StreamState
from syncsvc.testing import T0, S, frame

W = T0 // S


def filled(*seconds: float) -> WindowBuckets:
    buckets = WindowBuckets(S, T0)
    for seq, at in enumerate(seconds):
        assert buckets.put(frame("a", seq, T0 + round(at * S)))
    return buckets


def test_a_frame_is_handed_out_once() -> None:
    buckets = filled(0.1, 0.2, 0.3, 1.1)
    buckets.take({1})
    assert [one.seq for one in buckets.before(T0 + S)] == [0, 2]
    assert [one.seq for one in buckets.close_before(T0 + S)] == [0, 2]
    assert buckets.close_before(T0 + S) == []
    assert [one.seq for one in buckets.close_before(T0 + 2 * S)] == [3]
    assert len(buckets) == 0


def test_a_frame_of_a_closed_window_is_refused() -> None:
    buckets = filled(0.1)
    buckets.close_before(T0 + S)
    assert not buckets.put(frame("a", 1, T0 + S - 1))
    assert buckets.put(frame("a", 2, T0 + S))
    buckets.close_before(T0)
    assert buckets.closed_before_ns == T0 + S, "a closed window stays closed"


def test_frames_are_counted_by_window_handed_out_or_not() -> None:
    buckets = filled(0.1, 0.2, 0.999999999, 1.0)
    buckets.take({0})
    assert (buckets.count(W), buckets.count(W + 1), buckets.count(W + 2)) == (3, 1, 0)


def test_a_stream_that_leaves_hands_out_everything() -> None:
    buckets = filled(0.1, 5.0)
    assert [one.seq for one in buckets.discard()] == [0, 1]
    assert len(buckets) == 0


def test_a_watermark_never_falls() -> None:
    watermark = StreamWatermark()
    assert not watermark.passed(T0)
    watermark.heard(T0)
    watermark.heard(T0 - 5)
    assert (watermark.time_ns, watermark.first_ns, watermark.state) == (T0, T0, StreamState.LIVE)
    assert watermark.passed(T0)
    assert not watermark.passed(T0 + 1)


def test_an_ended_stream_was_heard_for_ever_and_one_that_drains_stays_so() -> None:
    watermark = StreamWatermark()
    watermark.state = StreamState.ENDED
    assert watermark.passed(2**63)
    watermark.state = StreamState.DRAINING
    watermark.heard(T0)
    assert watermark.state is StreamState.DRAINING


@pytest.mark.parametrize("state", list(StreamState))
def test_who_holds_a_group_back(state: StreamState) -> None:
    heard, other = StreamWatermark(), StreamWatermark()
    heard.heard(T0)
    other.state = state
    holds = state in (StreamState.LIVE, StreamState.DRAINING)
    assert group_passed([heard, other], T0, patient=False) is not holds
    assert group_passed([heard, other], T0, patient=True) is (state is StreamState.ENDED)
    assert not group_passed([other], T0, patient=False), "somebody must have been heard"
