"""Virtual cameras as a client sees them: what is burned in against what RTCP says, and each fault's effect."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from syncsvc import barcode
from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.clock import SYSTEM_CLOCK, sleep_s

OPTIONS = {"allowed_media_types": "video", "probesize": "32", "analyzeduration": "0"}


@dataclass
class Seen:
    """What one client got: per picture the barcode, the size, the RTP time, the age; and every NTP stamp."""

    codes: list[barcode.Barcode | None] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    pts: list[int | None] = field(default_factory=list)
    age_ms: list[float] = field(default_factory=list)
    stamps: list[tuple[int, int]] = field(default_factory=list)
    reports: list[tuple[int, int]] = field(default_factory=list)
    ended: bool = False

    @property
    def errors_us(self) -> list[int]:
        """Stamp less truth, from the second stamp on: libavformat's parser moves the first one to another frame."""
        return [stamp - true for stamp, true in self.stamps[1:]]

    @property
    def counters(self) -> list[int]:
        return [code.counter for code in self.codes if code is not None]


def watch(url: str, pictures: int, transport: str = "tcp", read_timeout_s: float = 10) -> Seen:
    """Take so many pictures, or all until the camera ends the session."""
    seen = Seen()
    with av.open(url, options={**OPTIONS, "rtsp_transport": transport}, timeout=(5, read_timeout_s)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            if packet.size == 0:
                seen.ended = True
                break
            _observe(seen, packet)
            if len(seen.codes) >= pictures:
                break
    return seen


def _observe(seen: Seen, packet: "av.Packet[Any]") -> None:
    now_us = SYSTEM_CLOCK.utc_ns() // 1000
    prft, report = (bytes(packet.get_sidedata(kind) or b"") for kind in ("prft", "rtcp_sr"))
    if report and struct.unpack_from("=8xQI", report) not in seen.reports[-1:]:
        seen.reports.append(struct.unpack_from("=8xQI", report))
    for frame in packet.decode():
        plane = frame.planes[0]
        luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
        code = barcode.read(luma)
        seen.codes.append(code)
        seen.sizes.append((frame.width, frame.height))
        seen.pts.append(packet.pts)
        if code is not None:
            seen.age_ms.append((now_us - code.time_us) / 1000)
            if prft:
                seen.stamps.append((struct.unpack_from("=q", prft)[0], code.time_us))


@contextmanager
def one_camera(**keys: Any) -> Iterator[tuple[str, VirtualCameras]]:
    with VirtualCameras([CameraSpec("north", **{"fps": 100, "width": 320, "height": 180, **keys})]) as cameras:
        yield cameras.urls["north"], cameras


def steps(counters: list[int]) -> set[int]:
    return {b - a for a, b in pairwise(counters)}


def rtp_less_truth_s(seen: Seen) -> float:
    """How far the RTP clock moved away from the true times, at worst."""
    pairs = [(pts, code.time_us) for pts, code in zip(seen.pts, seen.codes, strict=True) if pts is not None and code]
    return max(abs((pts - pairs[0][0]) / 90e3 - (true_us - pairs[0][1]) / 1e6) for pts, true_us in pairs)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_ntp_stamps_are_the_true_times(transport: str) -> None:
    with VirtualCameras([CameraSpec("a"), CameraSpec("b", fps=29.97, latency_ms=60, jitter_ms=10)]) as cameras:
        for index, url in enumerate(cameras.urls.values()):
            seen = watch(url, 60, transport)
            assert {code.stream_id for code in seen.codes if code is not None} == {index}
            assert steps(seen.counters) == {1}, "nothing is lost"
            assert len(seen.counters) == 60
            assert len(seen.errors_us) >= 55
            assert np.percentile(np.abs(seen.errors_us), 99) < 200
            assert rtp_less_truth_s(seen) < 0.0001, "the RTP timestamp is of the very instant that is burned in"


def test_the_account_agrees_with_what_a_client_got() -> None:
    with one_camera(drop_pct=20) as (url, cameras):
        seen = watch(url, 60)
        while cameras.stats("north").sessions:
            sleep_s(0.01)
        stats = cameras.stats("north")
    assert stats.captured == stats.dropped + stats.withheld + stats.queued + stats.released
    (session,) = stats.ended_sessions
    assert seen.counters[0] == session.first_counter
    assert session.first_counter is not None
    assert session.last_counter is not None
    sent_span = session.last_counter - session.first_counter + 1
    assert 0 < sent_span - session.frames <= stats.dropped
    assert len(seen.counters) == 60
    assert max(steps(seen.counters)) > 1, "a dropped picture leaves a hole in the counter"
    assert all(code is not None for code in seen.codes), "and no damage in the next one"
    assert rtp_less_truth_s(seen) < 0.0001, "and in RTP time"


def test_two_clients_of_one_camera_each_begin_at_a_key_picture() -> None:
    with one_camera(gop=10_000) as (url, cameras):
        first = watch(url, 10)
        second = watch(url, 10, "udp")
        assert first.codes[0] is not None
        assert second.codes[0] is not None
        assert second.counters[0] > first.counters[-1]
        assert cameras.stats("north").sent >= 20


def test_a_clock_offset_and_a_clock_step() -> None:
    events = [{"at_s": 1.0, "set": {"clock_offset_ms": -380}}]
    with one_camera(clock_offset_ms=120, sr_interval_s=0.1, events=events) as (url, _):
        seen = watch(url, 120)
    errors = [round(error / 1000) for error in seen.errors_us]
    assert (errors[0], errors[-1]) == (120, -380)
    assert set(errors) <= {120, -380}
    assert rtp_less_truth_s(seen) < 0.0001, "RTP time does not step"


def test_drift_of_the_clock() -> None:
    with one_camera(drift_ppm=20_000, sr_interval_s=0.1) as (url, _):
        seen = watch(url, 60)
    (_, first_us), (_, last_us) = seen.stamps[1], seen.stamps[-1]
    grown_us = seen.errors_us[-1] - seen.errors_us[0]
    assert grown_us == pytest.approx(0.02 * (last_us - first_us), rel=0.02)


def test_drift_of_rtp_alone_leaves_ntp_right_at_each_report() -> None:
    with one_camera(rtp_drift_ppm=20_000, sr_interval_s=0.02) as (url, _):
        seen = watch(url, 60)
    assert np.percentile(np.abs(seen.errors_us), 90) < 1000
    assert seen.codes[-1] is not None
    assert seen.codes[1] is not None
    true_s = (seen.codes[-1].time_us - seen.codes[1].time_us) / 1e6
    assert seen.pts[-1] is not None
    assert seen.pts[1] is not None
    assert (seen.pts[-1] - seen.pts[1]) / 90e3 == pytest.approx(1.02 * true_s, rel=0.001)


def test_latency_shows_in_arrival_and_not_in_the_stamps() -> None:
    with one_camera() as (url, cameras):
        prompt = watch(url, 30)
        cameras.set("north", latency_ms=400)
        late = watch(url, 30)
    assert min(prompt.age_ms) < 400 <= min(late.age_ms)
    assert np.percentile(np.abs(late.errors_us), 95) < 200


def test_a_stall_is_a_silence_and_then_a_burst() -> None:
    with one_camera(stall_every_s=1, stall_s=0.5) as (url, _):
        seen = watch(url, 150)
    assert max(seen.age_ms) > 400
    assert steps(seen.counters) == {1}, "late, not lost"


def test_loss_damages_udp_only() -> None:
    with one_camera(loss_pct=30, noise=0.5, crf=20, width=640, height=360) as (url, cameras):
        assert steps(watch(url, 40, "tcp").counters) == {1}
        damaged = watch(url, 20, "udp")
        (_, udp) = cameras.stats("north").ended_sessions or cameras.stats("north").sessions
    assert udp.packets_lost > 0
    assert None in damaged.codes or max(steps(damaged.counters)) > 1


def test_a_frozen_camera_keeps_the_session_and_sends_reports() -> None:
    with one_camera(sr_interval_s=0.1, events=[{"at_s": 3.0, "set": {"frozen": True}}]) as (url, cameras):
        with pytest.raises((av.error.ExitError, OSError)):  # libavformat says "exit" or "I/O error", as it was waiting
            watch(url, 10_000, read_timeout_s=0.5)
        stats = cameras.stats("north")
    assert stats.withheld > 0
    (session,) = stats.sessions or stats.ended_sessions
    assert session.reports_sent > 10


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"sr": False}, None),
        ({"sr_mode": "zero"}, 0),
        ({"sr_mode": "uptime"}, 1),
        ({"sr_immediate": False, "sr_first_s": 9}, None),
    ],
)
def test_sender_reports_that_lack_or_lie(keys: dict[str, Any], expected: int | None) -> None:
    with one_camera(**keys) as (url, _):
        seen = watch(url, 30)
    if expected is None:
        assert seen.stamps == []
        assert seen.reports == []
    else:
        ntp, _rtp = seen.reports[0]
        assert (ntp == 0) == (expected == 0)
        assert ntp >> 32 < 3600, "seconds since the camera's start, or none"


def test_reports_of_the_send_time_leak_the_latency() -> None:
    with one_camera(sr_mode="sendtime", latency_ms=80, sr_interval_s=0.2) as (url, _):
        seen = watch(url, 30)
    assert np.median(seen.errors_us) == pytest.approx(80_000, abs=500)


def test_the_rtp_timestamp_wraps() -> None:
    with one_camera(rtp_base=2**32 - 60_000, sr_interval_s=0.1) as (url, _):
        seen = watch(url, 80)
    assert max(rtp for _, rtp in seen.reports) > 2**32 - 60_000
    assert min(rtp for _, rtp in seen.reports) < 90_000
    assert rtp_less_truth_s(seen) < 0.0001
    assert np.percentile(np.abs(seen.errors_us), 95) < 200


def test_another_size_arrives_in_band() -> None:
    with one_camera() as (url, cameras):
        cameras.set("north", stall_s=0)
        with av.open(url, options={**OPTIONS, "rtsp_transport": "tcp"}, timeout=(5, 10)) as container:
            seen = Seen()
            for packet in container.demux(container.streams.video[0]):
                _observe(seen, packet)
                if len(seen.codes) == 10:
                    cameras.set("north", width=480, height=270)
                if len(seen.codes) == 40:
                    break
    assert seen.sizes[0] == (320, 180)
    assert seen.sizes[-1] == (480, 270)
    assert None not in seen.codes
    assert steps(seen.counters) <= {1, 2}
    assert len({*seen.sizes}) == 2


@pytest.mark.parametrize("key", ["start_delay_s", "refuse_s"])
def test_a_camera_that_comes_later_answers_404_until_then(key: str) -> None:
    with one_camera(**{key: 1.0}) as (url, cameras):
        with pytest.raises(av.error.HTTPNotFoundError):
            watch(url, 1)
        seen, taken = None, 0
        while seen is None:
            captured = cameras.stats("north").captured
            try:
                seen = watch(url, 3)
            except av.error.HTTPNotFoundError:
                taken = captured
                sleep_s(0.02)
    assert steps(seen.counters) == {1}
    assert (taken > 0) == (key == "refuse_s"), "refusing, it took pictures all the while"
    assert seen.counters[0] >= taken


def test_a_camera_that_closes_ends_the_session_and_can_be_asked_again() -> None:
    with one_camera(close_after_s=0.5) as (url, cameras):
        for _ in range(2):
            seen = watch(url, 10_000)
            assert seen.ended
            assert steps(seen.counters) == {1}
        assert cameras.stats("north").closed == {"camera": 2}


def test_stop_and_start_are_a_reboot() -> None:
    with one_camera() as (url, cameras):
        before = watch(url, 20)
        cameras.stop("north")
        assert not cameras.stats("north").running
        with pytest.raises(av.error.HTTPNotFoundError):
            watch(url, 1)
        cameras.start("north")
        after = watch(url, 20)
        stats = cameras.stats("north")
    assert after.counters[0] > before.counters[-1], "no counter is used twice"
    assert np.percentile(np.abs(after.errors_us), 95) < 200
    assert stats.running
    assert stats.captured == stats.dropped + stats.withheld + stats.queued + stats.released


def test_bitrate_gop_and_noise_shape_the_stream() -> None:
    with one_camera(bitrate=400_000, noise=0.8, gop=5) as (url, _):
        keys, sizes = [], []
        with av.open(url, options={**OPTIONS, "rtsp_transport": "tcp"}, timeout=(5, 10)) as container:
            for packet in container.demux(container.streams.video[0]):
                keys.append(packet.is_keyframe)
                sizes.append(packet.size)
                if len(keys) == 60:
                    break
    assert np.diff(np.flatnonzero(keys[5:])).tolist() == [5] * (sum(keys[5:]) - 1)
    assert sum(sizes[10:]) * 8 / 0.5 == pytest.approx(400_000, rel=0.35)


def shared_farm() -> Path:
    root = Path(os.environ.get("SYNCSVC_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    farm = root / "tools" / "camfarm" / "camfarm.py"
    if not farm.is_file():
        pytest.skip("the independent farm is not here")
    return farm


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_the_independent_farm_gives_the_same_figures(transport: str) -> None:
    keys = {"name": "north", "latency_ms": 40, "clock_offset_ms": 75}
    command = [
        sys.executable,
        str(shared_farm()),
        "--port",
        "0",
        "--cams",
        json.dumps([{**keys, "sr_immediate": True}]),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as farm:
        try:
            assert farm.stdout is not None
            (theirs,) = json.loads(farm.stdout.readline())["urls"]
            with VirtualCameras([CameraSpec(**keys)]) as cameras:
                figures = [watch(url, 50, transport) for url in (theirs, cameras.urls["north"])]
        finally:
            farm.kill()
    for seen in figures:
        assert len(seen.counters) == 50
        assert steps(seen.counters) == {1}
        assert np.percentile(np.abs(np.array(seen.errors_us) - 75_000), 95) < 200
        assert min(seen.age_ms) >= 40
