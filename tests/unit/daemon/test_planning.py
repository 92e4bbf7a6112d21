"""What the processes are told of groups with windows, of such without, and of both side by side."""

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from syncsvc.capture.probe import patience_s
from syncsvc.capture.spec import HttpSpec, RtspSpec
from syncsvc.capture.words import Capture, ToCapture
from syncsvc.config.loader import loads
from syncsvc.config.models import Config
from syncsvc.config.urls import kind_of
from syncsvc.daemon.http import readiness
from syncsvc.daemon.planning import capture_spec, group_plan, ring_plan, stream_plan, window_lcm_ns
from syncsvc.daemon.reload import refuse_unreloadable
from syncsvc.errors import ConfigError
from syncsvc.observe.status import ServiceStatus
from syncsvc.publish.leases import GRACE_NS
from syncsvc.testing import MS, S
from tests.statuses import GROUP, SERVICE


def config(*groups: str) -> Config:
    lines = [f"  g{n}: {{streams: [a], {keys}}}\n" for n, keys in enumerate(groups)]
    return loads(f"streams: {{a: {{url: 'synthetic:'}}}}\ngroups:\n{''.join(lines)}", "x.yaml")


SETS, WINDOWS = "window_ms: null, max_skew_ms: 2000, max_latency_ms: 300", "window_ms: 1500, max_latency_ms: 400"


def test_a_group_without_windows_waits_for_no_window_in_the_ring() -> None:
    assert ring_plan("a", config(SETS)).span_ns == (300 + 2 * 2000 + 250) * MS
    assert ring_plan("a", config(WINDOWS)).span_ns == (1500 + 400 + 2 * 40 + 250) * MS


def test_the_ring_may_grow_by_the_lease_of_the_longest_window_and_the_grace_after_it() -> None:
    for groups, window_ms in (((SETS,), 0), ((SETS, WINDOWS), 1500)):
        plan = ring_plan("a", config(*groups))
        assert plan.longest_ns == plan.span_ns + (window_ms + 500) * MS + GRACE_NS
        assert plan.most_slots(25) > plan.slots(25)


def test_its_rules_have_no_window_and_its_clocks_change_on_seconds() -> None:
    sets = config(SETS)
    assert group_plan("g0", sets, {}).rules.window_ns is None
    assert stream_plan("a", sets.streams["a"], sets).edge_ns == S
    assert stream_plan("a", sets.streams["a"], config(SETS, WINDOWS)).edge_ns == 1500 * MS


def test_recordings_begin_on_an_edge_of_every_group_and_on_a_second_where_there_are_no_windows() -> None:
    assert window_lcm_ns(config(SETS)) == S
    assert window_lcm_ns(config(SETS, WINDOWS)) == 3 * S


def test_a_reload_can_neither_take_windows_away_nor_bring_them() -> None:
    for before, after in ((SETS, WINDOWS), (WINDOWS, SETS)):
        with pytest.raises(ConfigError, match=r"groups\.g0\.window_ms: cannot change"):
            refuse_unreloadable(Path("x.yaml"), config(before), config(after))
    refuse_unreloadable(Path("x.yaml"), config(SETS), config("window_ms: null"))


def test_a_group_without_windows_is_to_emit_every_second() -> None:
    assert readiness(emitted_ago(3499.0)) is None
    assert readiness(emitted_ago(3501.0)) == "group g has emitted nothing for 3.5 s"


def emitted_ago(age_ms: float) -> ServiceStatus:
    """A service with one group without windows, which emitted so long ago."""
    group = structs.replace(GROUP, window_ms=None, max_latency_ms=500.0, last_batch_age_ms=age_ms)
    return structs.replace(SERVICE, is_ready=True, groups={"g": group})


URLS = {
    "rtsp": ("rtsp://ann:pass@camera/main", {"url": "rtsp://ann:pass@camera/main", "transport": "auto"}),
    "RTSP": ("RTSP://ann:Pass@Camera/Main", {"url": "rtsp://ann:Pass@Camera/Main", "timeouts_s": (10.0, 3.0)}),
    "http": ("http://camera/live.ts", {"url": "http://camera/live.ts"}),
    "HTTPS": ("HTTPS://camera/live.ts", {"url": "https://camera/live.ts", "timeouts_s": (10.0, 3.0)}),
    "file": ("file:/nowhere/a.mp4", {"path": "/nowhere/a.mp4", "pace": "realtime", "loop": False, "timestamps": None}),
    "v4l2": ("v4l2:/dev/video0?fps=30&size=640x480", {"device": "/dev/video0", "fps": 30.0, "device_size": (640, 480)}),
    "synthetic": ("synthetic:?fps=50&stall=10:2&seed=9", {"fps": 50.0, "stall": (10.0, 2.0), "seed": 9, "width": 640}),
}


@pytest.mark.parametrize(("url", "told"), URLS.values(), ids=URLS)
def test_a_capture_is_told_what_its_kind_of_source_needs_and_hears_it_as_it_was_meant(
    url: str, told: dict[str, object]
) -> None:
    found = loads(f"streams: {{a: {{url: '{url}'}}}}", "/x.yaml")
    spec, kind = capture_spec("a", found.streams["a"], found), kind_of(url)
    assert (spec.kind, spec.name, spec.pixels, spec.size, spec.quality) == (kind, "a", "i420", None, 85)
    assert {name: getattr(spec, name) for name in told} == told
    order = Capture(spec, ("pass",))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(order), type=ToCapture) == order


def test_a_camera_that_may_take_longer_is_looked_at_for_longer() -> None:
    text = "streams: {a: {url: 'rtsp://h/1'}, b: {url: 'rtsp://h/2', open_timeout_ms: 45000, stall_after_ms: 150000}}"
    found = loads(text, "/x.yaml")
    specs = [capture_spec(name, stream, found) for name, stream in found.streams.items()]
    assert [spec.timeouts_s for spec in specs] == [(10.0, 3.0), (45.0, 150.0)]
    assert [patience_s(spec) for spec in specs] == [26.0, 390.0]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h/a.jpg?every=2s", "http://h/a.jpg"),
        ("http://h/a?every=2s&x=1", "http://h/a?x=1"),
        ("http://h/a?x=1&every=2s", "http://h/a?x=1"),
        ("http://h/a?x=1&every=2s&y=2#z", "http://h/a?x=1&y=2#z"),
        ("http://h/a?x=1", "http://h/a?x=1"),
    ],
)
def test_a_camera_is_not_asked_for_a_parameter_of_ours(url: str, asked: str) -> None:
    config = loads(f"streams: {{a: {{url: '{url}'}}}}", "site.yaml")
    spec = capture_spec("a", config.streams["a"], config)
    assert isinstance(spec, HttpSpec)
    assert (spec.url, spec.every_s) == (asked, 2.0 if "every" in url else 1.0)


def test_a_parameter_of_an_rtsp_camera_is_its_own_whatever_it_is_called() -> None:
    config = loads("streams: {a: {url: 'RTSP://h/a?every=2&x=1'}}", "site.yaml")
    spec = capture_spec("a", config.streams["a"], config)
    assert isinstance(spec, RtspSpec)
    assert spec.url == "rtsp://h/a?every=2&x=1"
