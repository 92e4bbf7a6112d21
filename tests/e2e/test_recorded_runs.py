"""From cameras to a recording and back: what is replayed is the live run, frame for frame and set for set."""

from pathlib import Path
from typing import Any

import numpy as np

from syncsvc import FrameBatch, Subscriber
from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.recording.folder import FolderRecording
from syncsvc.recording.verification import verify
from syncsvc.replay.service import ReplayService, Terms
from syncsvc.replay.span import ReplaySpan
from tests.e2e.harness import LIMIT_S, PATIENCE, Service, find_data
from tests.hand_recorder import frames_of, record_by_hand
from tests.recordings import taken_out

SMALL: dict[str, Any] = {"width": 160, "height": 96, "gop": 10}


def replay(folder: Path) -> list[FrameBatch]:
    """All batches of a recording, as a subscriber gets them."""
    terms = Terms("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", wait_for=1, speed=None)
    service = ReplayService(FolderRecording(folder), ReplaySpan(), terms, SYSTEM_CLOCK)
    live, _ = service.bind()
    worker = Worker("replays", lambda stop: service.run(stop, lambda one: None)).start()
    with Subscriber(live, gaps="yield") as subscriber:
        batches = list(subscriber)
    assert worker.join(LIMIT_S)
    assert worker.error is None, worker.error
    return batches


def take(service: Service, count: int, stop: StopToken, into: list[FrameBatch], **options: Any) -> None:
    with service.subscribe(**options) as subscriber:
        while len(into) < count and not stop.is_set:
            into.append(subscriber.receive(LIMIT_S))


def test_a_run_of_cameras_with_mixed_rates_drops_and_a_reconnect_comes_back_whole(tmp_path: Path) -> None:
    cameras = [
        CameraSpec("north", fps=25, close_after_s=3.0, **SMALL),
        CameraSpec("south", fps=12.5, **SMALL),
        CameraSpec("east", fps=10, drop_pct=20, **SMALL),
        CameraSpec("west", fps=25, **SMALL),
    ]
    how = {"north": {"coded": True}, "south": {"pixels": "encoded"}, "east": {"coded": True}, "west": {}}
    coded: list[FrameBatch] = []
    decoded: list[FrameBatch] = []
    with VirtualCameras(cameras) as farm:
        streams = {name: {"url": farm.urls[name], **some} for name, some in how.items()}
        groups = {"rig": {"streams": list(how), "window_ms": 500, **PATIENCE}}
        with Service(tmp_path, streams, groups=groups) as service:
            worker = Worker("coded", lambda stop: take(service, 12, stop, coded, group="rig", payload="coded"))
            with worker:
                take(service, 12, StopToken(), decoded, group="rig")
                assert worker.join(LIMIT_S)
            assert worker.error is None, worker.error
    live = record_by_hand(tmp_path / "recording", decoded, coded)
    assert len(live) >= 8
    findings = verify(FolderRecording(tmp_path / "recording"))
    assert findings.is_whole, findings.differences
    ours = replay(tmp_path / "recording")
    taken_out(live, ours)
    before, after = frames_of(live), frames_of(ours)
    assert {name for name, _ in after} == set(how)
    assert len(after) > 0.8 * len(before)
    for key, frame in after.items():
        if frame.format == "encoded":
            assert bytes(frame.pixels).endswith(bytes(before[key].pixels)[-16:])
        else:
            np.testing.assert_array_equal(frame.pixels, before[key].pixels)


def test_the_four_real_recordings_give_the_reference_sets_again(tmp_path: Path) -> None:
    folder = find_data("four-cameras")
    names = [f"cam_{number}" for number in range(4)]
    streams = {
        name: {"url": f"file:{folder / name}.mp4", "pace": "asap", "timestamps": str(folder / "timestamps.csv"),
               "clock": "pts", "size": [160, 90]}
        for name in names
    }  # fmt: skip
    live: list[FrameBatch] = []
    groups = {"rig": {"streams": names, "max_skew_ms": 60, **PATIENCE}}
    with Service(tmp_path, streams, groups=groups, publish={"wait_for": 1}) as service:
        with service.subscribe(group="rig") as subscriber:
            live.extend(subscriber)
        assert service.process.wait(LIMIT_S) == 0, service.log
    assert record_by_hand(tmp_path / "recording", live, live) == live
    assert verify(FolderRecording(tmp_path / "recording")).is_whole
    ours = replay(tmp_path / "recording")
    taken_out(live, ours)
    sets = [frozenset((name, one.seq) for name, one in some.frames.items()) for one in ours for some in one.sets]
    rows = (folder / "reference-sets.csv").read_text().splitlines()
    columns = rows[0].split(",")
    told = [dict(zip(columns, row.split(","), strict=True)) for row in rows[1:]]
    assert len(sets) == len(told) == 48
    assert set(sets) == {frozenset((name, int(one[name])) for name in names) for one in told}
