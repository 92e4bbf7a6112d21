"""Camera specs: what they refuse, in one line that names the key, and the short form of the command line."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from syncsvc.cameras.settings import CameraSpec, Event, load_specs, parse_specs
from syncsvc.errors import UsageError


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fps": 0}, "fps: 0 is not allowed: it must be a number from 0.1 to 240"),
        ({"fps": float("nan")}, "fps: nan is not allowed"),
        ({"fps": "25"}, "fps: '25' is not allowed"),
        ({"fps": True}, "fps: True is not allowed"),
        ({"width": 641}, "width: 641 is not allowed: it must be even"),
        ({"width": 640.5}, "width: 640.5 is not allowed: it must be a whole number from 160 to 7680"),
        ({"width": 128}, "width: 128"),
        ({"width": 1920, "height": 200}, "height: 200 is not allowed: it must be at least an eighth of width"),
        ({"height": None}, "height: None"),
        ({"gop": 0}, "gop: 0"),
        ({"crf": 52}, "crf: 52"),
        ({"bitrate": 1}, "bitrate: 1 "),
        ({"noise": 1.5}, "noise: 1.5"),
        ({"drop_pct": 101}, "drop_pct: 101"),
        ({"loss_pct": -1}, "loss_pct: -1"),
        ({"latency_ms": -1}, "latency_ms: -1"),
        ({"jitter_ms": float("inf")}, "jitter_ms: inf"),
        ({"stall_every_s": 2, "stall_s": 3}, "stall_s: 3.0 is not allowed: it must be at most stall_every_s"),
        ({"sr": 1}, "sr: 1 is not allowed: it must be true or false"),
        ({"frozen": "no"}, "frozen: 'no'"),
        ({"sr_mode": "late"}, "sr_mode: 'late' is not allowed: it must be one of ok, zero, uptime, sendtime"),
        ({"sr_interval_s": 0}, "sr_interval_s: 0"),
        ({"rtp_base": 2**32}, "rtp_base: 4294967296"),
        ({"events": {"at_s": 1}}, "events: {'at_s': 1} is not allowed: it must be a list"),
        ({"events": [{"at": 1, "set": {}}]}, "events[0]: {'at': 1, 'set': {}} is not allowed"),
        ({"events": [{"at_s": -1, "set": {}}]}, "events[0].at_s: -1"),
        ({"events": [{"at_s": 1, "set": {"fpss": 1}}]}, "events[0].set.fpss: unknown key (did you mean fps?)"),
        ({"events": [{"at_s": 1, "set": {"width": 1}}]}, "events[0].set.width: 1 is not allowed"),
        ({"events": [{"at_s": 1, "set": {"seed": 2}}]}, "events[0].set.seed: cannot change while the camera runs"),
        (
            {"events": [{"at_s": 2, "set": {"height": 100}}, {"at_s": 1, "set": {"width": 1920, "height": 1080}}]},
            "events[0].set.height: 100 is not allowed",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_key(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        CameraSpec("north", **keys)
    text = str(caught.value)
    assert text.startswith("camera 'north': " + message)
    assert "\n" not in text


@pytest.mark.parametrize("name", ["", "North", "a b", "a/b", "x" * 65, 7, None])
def test_names_follow_the_rule(name: Any) -> None:
    with pytest.raises(UsageError, match="camera name"):
        CameraSpec(name)


def test_defaults_are_a_camera_without_faults() -> None:
    spec = CameraSpec("north", fps=30)
    assert (spec.fps, spec.latency_ms, spec.jitter_ms, spec.drop_pct, spec.sr, spec.frozen) == (
        30.0,
        0,
        0,
        0,
        True,
        False,
    )
    assert isinstance(spec.fps, float)


def test_events_are_sorted_and_typed() -> None:
    spec = CameraSpec(events=[{"at_s": 5, "set": {"sr": False}}, Event(1, {"latency_ms": 3})])
    assert [event.at_s for event in spec.events] == [1, 5]
    assert spec.events[1].set == {"sr": False}


def test_a_spec_survives_the_way_to_a_child() -> None:
    spec = CameraSpec("north", fps=12.5, bitrate=100_000, events=[Event(1, {"latency_ms": 3})])
    (back,) = parse_specs(json.loads(json.dumps([asdict(spec)])))
    assert back == spec


def test_changed_gives_a_checked_copy() -> None:
    spec = CameraSpec("north")
    assert spec.changed({"latency_ms": 50}).latency_ms == 50
    assert spec.latency_ms == 0
    with pytest.raises(UsageError, match="'north': rtp_base: cannot change"):
        spec.changed({"rtp_base": 1})
    with pytest.raises(UsageError, match=r"'north': latency: unknown key.*latency_ms"):
        spec.changed({"latency": 1})
    with pytest.raises(UsageError, match="'north': crf: 99 is not allowed"):
        spec.changed({"crf": 99})


def test_which_changes_need_another_encoder() -> None:
    spec = CameraSpec()
    assert spec.encodes_like(spec.changed({"latency_ms": 5, "noise": 0.5, "sr": False}))
    assert not spec.encodes_like(spec.changed({"width": 320, "height": 180}))
    assert not spec.encodes_like(spec.changed({"gop": 10}))


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        ([], "cameras: 0 of them"),
        ([{}] * 257, "cameras: 257 of them"),
        ("north", "cameras: 'north' is not allowed"),
        (3, "cameras: 3 is not allowed"),
        ([{"name": "a"}, {"name": "a"}], "camera 'a': name: used twice"),
        ([{"fsp": 25}], "camera 'cam0': fsp: unknown key (did you mean fps?)"),
        ({"north": 5}, "camera 'north': 5 is not allowed"),
        ([["fps", 25]], "cameras[0]: ['fps', 25] is not allowed"),
    ],
)
def test_bad_farms_are_refused(cameras: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_specs(cameras)
    assert str(caught.value).startswith(message)


def test_a_count_and_words_on_the_command_line() -> None:
    assert [spec.name for spec in load_specs(["3"])] == ["cam0", "cam1", "cam2"]
    north, south = load_specs(["north:fps=29.97,sr=false,sr_mode=zero,bitrate=200000", "south"])
    assert (north.name, north.fps, north.sr, north.sr_mode, north.bitrate) == ("north", 29.97, False, "zero", 200_000)
    assert south == CameraSpec("south")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0"], "cameras: 0 of them"),
        (["100000"], "cameras: 257 of them"),
        (["north:fps"], "camera 'north': 'fps' is not understood"),
        (["north:fps=25,fps=30"], "camera 'north': fps: given twice"),
        (["north:fps=fast"], "camera 'north': fps: 'fast' is not allowed"),
        (["north:fps=[1"], "camera 'north': fps: '[1' is not allowed"),
        (["north", "north"], "camera 'north': name: used twice"),
        (["North"], "camera name 'North'"),
        (["nowhere.yaml"], "nowhere.yaml: No such file"),
    ],
)
def test_bad_words_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_specs(words)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("wrap", [lambda cameras: cameras, lambda cameras: {"cameras": cameras}])
def test_files_hold_a_map_or_a_list(tmp_path: Path, wrap: Any) -> None:
    farm = tmp_path / "farm.yaml"
    farm.write_text(json.dumps(wrap({"north": {"fps": 30}, "south": None})))
    assert load_specs([str(farm)]) == [CameraSpec("north", fps=30), CameraSpec("south")]


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    farm = tmp_path / "farm.yaml"
    farm.write_text("north: {fps: [")
    with pytest.raises(UsageError, match=r"farm\.yaml: not YAML"):
        load_specs([str(farm)])
    farm.write_text("north: {fps: 0}")
    with pytest.raises(UsageError, match=r"farm\.yaml: camera 'north': fps: 0 is not allowed"):
        load_specs([str(farm)])
