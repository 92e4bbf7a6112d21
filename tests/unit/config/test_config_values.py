"""What a valid file means: defaults, kinds, scalars, paths and variables."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from syncsvc.config.loader import load, loads
from syncsvc.config.models import (
    Config,
    FileStream,
    GroupConfig,
    Http,
    HttpStream,
    Publish,
    RtspStream,
    SyntheticKeys,
    SyntheticStream,
    V4l2Stream,
)
from syncsvc.errors import ConfigError

BASE = Path("/srv/cameras")


def config(text: str, **environ: str) -> Config:
    return loads(text, "cameras.yaml", BASE, environ)


def stream(url: str, keys: str = "", **environ: str) -> Any:
    return config(f"streams:\n  a:\n    url: {url}\n{keys}", **environ).streams["a"]


def test_the_smallest_file_has_the_defaults_of_the_contract() -> None:
    assert config("streams: {a: {url: rtsp://h/1}, b: {url: rtsp://h/2}}") == Config(
        streams={"a": RtspStream(url="rtsp://h/1"), "b": RtspStream(url="rtsp://h/2")},
        groups={
            "all": GroupConfig(
                streams=("a", "b"),
                window_ms=1000,
                max_skew_ms=40.0,
                max_latency_ms=500.0,
                reference=None,
                late="topic",
            )
        },
        publish=Publish(live="tcp://127.0.0.1:5555", control="tcp://127.0.0.1:5556", history=8, wait_for=0),
        http=Http(bind="127.0.0.1:8080"),
    )


def test_a_stream_has_the_defaults_of_the_contract() -> None:
    north = stream("rtsp://h/1")
    assert (north.transport, north.latency_ms, north.pixels, north.size) == ("auto", 0.0, "i420", None)
    assert (north.clock, north.stall_after_ms) == ("auto", 3000)
    assert (north.open_timeout_ms, north.read_timeout_ms, north.timeouts_s) == (10_000, None, (10.0, 3.0))
    bench = stream("file:a.mp4")
    assert (bench.pace, bench.loop, bench.timestamps) == ("realtime", False, None)


def test_the_example_of_the_contract_loads(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings/bench.mp4").touch()
    file = tmp_path / "site.yaml"
    file.write_text(
        """\
streams:
  north:
    url: rtsp://user:${NORTH_PASSWORD}@10.0.0.11/stream1
    transport: tcp
    latency_ms: 0
    pixels: i420
    size: null
    clock: auto
    stall_after_ms: 3000
  bench:
    url: file:recordings/bench.mp4
    pace: realtime
    loop: true
    timestamps: null
groups:
  lobby:
    streams: [north, bench]
    window_ms: 1000
    max_skew_ms: 40
    max_latency_ms: 500
    reference: null
    late: topic
publish:
  live: tcp://127.0.0.1:5555
  control: tcp://127.0.0.1:5556
  history: 8
  wait_for: 0
http: {bind: 127.0.0.1:8080}
"""
    )
    loaded = load(file, {"NORTH_PASSWORD": "s3cret"})
    assert loaded.streams["north"].url == "rtsp://user:s3cret@10.0.0.11/stream1"
    bench = loaded.streams["bench"]
    assert isinstance(bench, FileStream)
    assert bench.path == tmp_path / "recordings/bench.mp4"
    assert bench.loop


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("rtsp://h", RtspStream),
        ("rtsps://u:p@[2001:db8::1]:322/x?channel=1", RtspStream),
        ("RTSP://h/1", RtspStream),
        ("http://h/video.mjpg", HttpStream),
        ("https://h:8443/a.ts", HttpStream),
        ("file:a.mp4", FileStream),
        ("v4l2:/dev/video0", V4l2Stream),
        ("'synthetic:'", SyntheticStream),
    ],
)
def test_the_scheme_decides_the_kind(url: str, kind: type) -> None:
    assert type(stream(url)) is kind


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:a/b.mp4", BASE / "a/b.mp4"),
        ("file:/abs/b.mp4", Path("/abs/b.mp4")),
        ("file:///abs/b.mp4", Path("/abs/b.mp4")),
        ("file:a b?c@d%20.mp4", BASE / "a b?c@d%20.mp4"),
    ],
)
def test_relative_files_are_relative_to_the_yaml_file(url: str, path: Path) -> None:
    found = stream(url, "    timestamps: t.csv\n")
    assert (found.path, found.timestamps) == (path, BASE / "t.csv")


def test_parameters_of_a_synthetic_stream_are_typed() -> None:
    found = stream(
        "synthetic:?fps=29.97&size=320x240&offset_ms=-5&drift_ppm=30&jitter_ms=2.5&latency_ms=60&phase_ms=10&drop=0.08&stall=10:2&seed=7"
    )
    assert found.spec == SyntheticKeys(
        fps=29.97,
        width=320,
        height=240,
        offset_ms=-5.0,
        drift_ppm=30.0,
        jitter_ms=2.5,
        latency_ms=60.0,
        phase_ms=10.0,
        drop=0.08,
        stall=(10.0, 2.0),
        seed=7,
    )
    assert stream("'synthetic:'").spec == SyntheticKeys(fps=25.0, width=640, height=360, seed=1)


def test_parameters_of_a_device_are_typed() -> None:
    found = stream("v4l2:/dev/video2?fps=30&size=1280x720&fourcc=MJPG")
    assert (found.device, found.fps) == (Path("/dev/video2"), 30.0)
    assert (found.device_size, found.fourcc) == ((1280, 720), "MJPG")
    bare = stream("v4l2:/dev/video2")
    assert (bare.fps, bare.device_size, bare.fourcc, bare.size) == (None, None, None, None)


@pytest.mark.parametrize("text", ["no", "on", "off", "yes", "y", "010", "22:22", "0x1f", "1_000", "2024-01-01"])
def test_scalars_that_other_yaml_versions_convert_stay_text(text: str) -> None:
    found = config(
        f"streams: {{a: {{url: 'synthetic:'}}}}\ngroups: {{'{text.lower().replace(':', '-')}': {{streams: [a]}}}}"
    )
    assert list(found.groups) == [text.lower().replace(":", "-")]
    if ":" not in text:
        assert list(config(f"streams: {{{text}: {{url: 'synthetic:'}}}}").streams) == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e3", 1000.0), ("1.5", 1.5), ("7", 7.0), ("+2", 2.0), (".5", 0.5), ("5.", 5.0), ("1E-2", 0.01)],
)
def test_numbers_are_numbers(text: str, value: float) -> None:
    found = stream("rtsp://h/1", f"    latency_ms: {text}\n").latency_ms
    assert (type(found), found) == (float, value)


@pytest.mark.parametrize(
    "live", ["tcp://localhost:0", "tcp://127.8.9.1:65535", "'tcp://[::1]:5557'", "ipc:///run/a", "tcp://127.0.0.2:5556"]
)
def test_loopback_and_ipc_endpoints_are_taken_as_written(live: str) -> None:
    text = f"streams: {{a: {{url: 'synthetic:'}}}}\npublish: {{live: {live}}}"
    assert config(text).publish.live == live.strip("'")


def test_port_0_may_stand_everywhere() -> None:
    text = "streams: {a: {url: 'synthetic:'}}\n"
    text += "publish: {live: tcp://127.0.0.1:0, control: tcp://127.0.0.1:0}\nhttp: {bind: 127.0.0.1:0}"
    assert config(text).http == Http(bind="127.0.0.1:0")


@pytest.mark.parametrize(("text", "http"), [("null", None), ("~", None), ("{}", Http()), ("", None)])
def test_http_is_switched_off_by_null(text: str, http: Http | None) -> None:
    assert config(f"streams: {{a: {{url: 'synthetic:'}}}}\nhttp: {text}\n").http == http


def test_all_asap_is_allowed() -> None:
    found = config("streams: {a: {url: file:a, pace: asap}, b: {url: file:b, pace: asap}}")
    assert [one.pace for one in found.streams.values() if isinstance(one, FileStream)] == ["asap", "asap"]


def test_a_variable_is_typed_by_its_scalar() -> None:
    keys = "    stall_after_ms: ${STALL}\n    size: ${SIZE:-null}\n    pixels: '${PIXELS:-gray8}'\n"
    found = stream("rtsp://${HOST:-h}:${PORT}/${PATH_:-a:-b}", keys, STALL="5000", PORT="8554")
    assert (found.url, found.stall_after_ms) == ("rtsp://h:8554/a:-b", 5000)
    assert (found.size, found.pixels) == (None, "gray8")


def test_a_variable_never_becomes_structure() -> None:
    hostile = "x.mp4\n  b: {url: file:/etc/passwd}\n# &a *a !!python/object ${HOME} {"
    found = config("streams:\n  a:\n    url: file:/rec/${NAME}\n", NAME=hostile.replace("\n", " "))
    assert list(found.streams) == ["a"]
    assert found.streams["a"].url == f"file:/rec/{hostile}".replace("\n", " ")


def test_an_empty_value_takes_the_default_and_else_stays_empty() -> None:
    assert stream("file:a${X:-b}", X="").url == "file:ab"
    assert stream("file:a${X:-b}", X="c").url == "file:ac"
    assert stream("file:a${X}", X="").url == "file:a"
    assert stream("file:a${X:-}").url == "file:a"


def test_a_dollar_alone_is_text() -> None:
    assert stream("file:$HOME/$$a$.mp4").url == "file:$HOME/$$a$.mp4"


def test_a_byte_order_mark_and_crlf_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbfstreams:\r\n  a:\r\n    url: 'synthetic:'\r\n")
    assert list(load(file).streams) == ["a"]


def test_order_of_the_file_is_kept() -> None:
    assert list(config("streams: {z: {url: rtsp://h}, a: {url: rtsp://h}, m: {url: rtsp://h}}").streams) == [
        "z",
        "a",
        "m",
    ]


def test_models_are_frozen_comparable_and_survive_a_pipe() -> None:
    found = config("streams: {a: {url: file:a.mp4}, s: {url: 'synthetic:?stall=3:1'}}")
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(ValidationError):
        found.publish.history = 9  # type: ignore[misc]


def test_files_are_looked_for_only_when_asked(tmp_path: Path) -> None:
    absent = "streams: {a: {url: file:absent.mp4}}"
    config(absent)
    with pytest.raises(ConfigError, match=r"^x.yaml:1: streams\.a\.url: found no file at '/srv/cameras/absent.mp4'"):
        loads(absent, "x.yaml", "/srv/cameras", {}, files=True)
    (tmp_path / "a.mp4").touch()
    (tmp_path / "t.csv").touch()
    loads("streams: {a: {url: file:a.mp4, timestamps: t.csv}}", "x.yaml", tmp_path, {}, files=True)


def test_a_thousand_streams_load() -> None:
    text = "streams:\n" + "".join(f"  c{i}:\n    url: rtsp://10.0.0.1/{i}\n    latency_ms: 3\n" for i in range(1000))
    assert len(config(text).groups["all"].streams) == 1000
