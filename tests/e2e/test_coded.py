"""The camera's own coded pictures beside the decoded ones, through the real service: ``coded: true``."""

from pathlib import Path
from typing import Any

from syncsvc import Frame, FrameBatch, FrameUndecodable, FrameWithoutPixels, Subscriber, barcode
from syncsvc.cameras import CameraSpec, VirtualCameras
from tests.e2e.harness import LIMIT_S, Service, find_data, patient

SMALL: dict[str, Any] = {"width": 320, "height": 180}


def code_of(frame: Frame) -> barcode.Barcode | None:
    """What the picture says of itself; None where it has none."""
    try:
        return barcode.read(frame.to_bgr()[:, :, 1].copy())
    except (FrameUndecodable, FrameWithoutPixels):
        return None


def whole(batches: Subscriber[FrameBatch], of: str) -> FrameBatch:
    """The first batch of which every picture of a stream is shown."""
    while True:
        batch = batches.receive(LIMIT_S)
        if batch.complete and batch.frames[of] and all(code_of(frame) for frame in batch.frames[of]):
            return batch


def test_coded_pictures_are_those_of_the_same_frames(tmp_path: Path) -> None:
    cameras = [CameraSpec("north", fps=25, gop=20, **SMALL), CameraSpec("plain", fps=25, gop=20, **SMALL)]
    with VirtualCameras(cameras) as farm:
        streams = {"north": {"url": farm.urls["north"], "coded": True}, "plain": {"url": farm.urls["plain"]}}
        with (
            Service(tmp_path, streams, groups=patient("north", "plain")) as service,
            Subscriber(service.live, "all", payload="coded") as coded,
            Subscriber(service.live, "all") as decoded,
        ):
            ours = whole(coded, "north")
            while (theirs := decoded.receive(LIMIT_S)).seq < ours.seq:
                pass
            header = coded.header
            assert service.stop() == 0
    assert (ours.seq, ours.epoch, ours.window_start_ns) == (theirs.seq, theirs.epoch, theirs.window_start_ns)
    assert [one.spread_ns for one in ours.sets] == [one.spread_ns for one in theirs.sets]
    assert [(one.seq, one.time_ns, one.keyframe) for one in ours.frames["north"]] == [
        (one.seq, one.time_ns, one.keyframe) for one in theirs.frames["north"]
    ]
    assert [code_of(one) for one in ours.frames["north"]] == [code_of(one) for one in theirs.frames["north"]]
    assert {one.format for one in ours.frames["north"]} == {"encoded"}
    assert {one.format for one in theirs.frames["north"]} == {"i420"}
    look: Any = header["streams"]
    assert look["north"]["codec"]["name"] == "h264"
    assert {one.payload for one in ours.frames["plain"]} == {None}, "who did not ask for them has none"
    assert [one.seq for one in ours.frames["plain"]] == [one.seq for one in theirs.frames["plain"]]


def test_a_recording_hands_its_coded_pictures_on_whatever_its_container(tmp_path: Path) -> None:
    folder = find_data("four-cameras")
    name = sorted(folder.glob("*.m*"))[0]
    streams = {"a": {"url": f"file:{name}", "pace": "asap", "coded": True, "pixels": "gray8", "size": [64, 36]}}
    with (
        Service(tmp_path, streams, publish={"wait_for": 1}) as service,
        Subscriber(service.live, "all", payload="coded") as coded,
    ):
        frames = [frame for batch in coded for frame in batch.frames["a"]]
        assert service.process.wait(LIMIT_S) == 0, service.log
    assert len(frames) >= 40
    shown = [frame.to_bgr().shape for frame in frames]
    assert len(set(shown)) == 1
    assert shown[0] != (36, 64, 3), "coded pictures are as the source made them"
