"""Coded pictures and JPEGs through the real service: paired as pixels are, decoded by who looks, never wrong."""

import copy
import itertools
import json
import pickle
import subprocess
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from syncsvc import Frame, FrameBatch, FrameUndecodable, Subscriber, barcode
from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.clock import NS_PER_MS as MS
from syncsvc.clock import SYSTEM_CLOCK, sleep_s
from tests.e2e.harness import LIMIT_S, Following, History, Service, find_data, is_complete
from tests.e2e.httpcamera import FPS, PERIOD_US, answer, http_camera, video
from tests.e2e.test_mjpeg import MULTIPART, jpegs, part
from tests.e2e.test_recordings import NAMES, play, reference_sets, streams

SMALL: dict[str, Any] = {"width": 320, "height": 180}


def code_of(frame: Frame) -> barcode.Barcode | None:
    """What the picture says of itself; None where it has none."""
    try:
        bgr = frame.to_bgr()
    except FrameUndecodable:
        return None
    code = barcode.read(np.ascontiguousarray(bgr[:, :, 1]))
    assert code is not None, "a picture is shown, and it is not whole"
    return code


class Look(Following):
    """Reads every picture as it comes, and holds it against what the service says of it."""

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__(subscriber)
        self.codes: dict[tuple[str, int], barcode.Barcode | None] = {}

    def take(self, batch: FrameBatch) -> FrameBatch:
        self.look_at(super().take(batch))
        return batch

    def look_at(self, batch: FrameBatch) -> None:
        for name, frames in batch.frames.items():
            for frame in frames:
                code = self.codes[name, frame.seq] = code_of(frame)
                if code is not None and frame.clock == "rtcp":
                    assert abs(code.time_us * 1000 - frame.time_ns) < 5 * MS, "another picture than this frame's"

    @property
    def paired(self) -> int:
        """Sets so far of which every picture was shown."""
        sets = [one.frames.values() for batch in self.batches for one in batch.sets]
        return sum(all(self.codes[frame.stream, frame.seq] for frame in one) for one in sets)

    def counters(self, name: str) -> list[int | None]:
        return [code.counter if code else None for (stream, _), code in self.codes.items() if stream == name]


def test_sets_are_those_of_decoded_streams_and_every_picture_is_its_frames(tmp_path: Path) -> None:
    cameras = [CameraSpec("north", fps=25, gop=20, **SMALL), CameraSpec("south", fps=20, gop=15, phase_ms=9, **SMALL)]
    with VirtualCameras(cameras) as farm:
        both = {
            f"{name}{suffix}": {"url": url, "pixels": pixels}
            for name, url in farm.urls.items()
            for suffix, pixels in (("", "encoded"), ("_raw", "i420"))
        }
        groups = {"coded": {"streams": ["north", "south"]}, "raw": {"streams": ["north_raw", "south_raw"]}}
        with Service(tmp_path, both, groups=groups) as service:
            look = {name: Look(service.subscribe(group=name)) for name in groups}
            with look["coded"] as coded, look["raw"] as raw:
                raw.read_until(lambda batch: batch.sets != [])
                while min(one.paired for one in look.values()) < 100:
                    coded.next()
                    raw.next()
            assert service.stop() == 0
    found = {}
    for name, one in look.items():
        one.check()
        found[name] = {
            tuple(code.counter if (code := one.codes[f.stream, f.seq]) else None for f in s.frames.values())
            for batch in one.batches
            for s in batch.sets
        }
    shown = [s for s in found["coded"] if None not in s]
    common = range(min(shown)[0] + 25, min(max(shown)[0], max(found["raw"])[0]) - 5)
    assert len(common) > 50
    assert {s for s in shown if s[0] in common} == {s for s in found["raw"] if s[0] in common}
    for name in ("north", "south"):
        counters = look["coded"].counters(name)
        whole = [counter for counter in counters if counter is not None]
        assert counters[len(counters) - len(whole) :] == whole, "once a key frame was there, every picture is shown"
        assert whole == list(range(whole[0], whole[0] + len(whole)))
    formats = {n: frames[0].layout for n, frames in look["coded"].batches[-1].frames.items()}
    assert {(one.format, one.width, one.height, one.codec and one.codec.name) for one in formats.values()} == {
        ("encoded", 320, 180, "h264")
    }


def test_who_joins_between_key_frames_sees_pictures_from_the_next_one_on(tmp_path: Path) -> None:
    with (
        VirtualCameras([CameraSpec("north", fps=25, gop=75, **SMALL)]) as farm,
        Service(tmp_path, {"north": {"url": farm.urls["north"], "pixels": "encoded"}}) as service,
    ):
        with service.follow() as early:
            early.read_until()
        with Look(service.subscribe()) as look:
            look.read_until(lambda batch: any(frame.keyframe for frame in batch.frames["north"]))
            look.next()
        keys = [frame.keyframe for frame in look.frames("north")]
        assert 0 < keys.index(True) < 76
        assert [counter is not None for counter in look.counters("north")] == [
            at >= keys.index(True) for at in range(len(keys))
        ]
        assert service.stop() == 0


def test_what_the_network_loses_shows_no_wrong_picture(tmp_path: Path) -> None:
    camera = CameraSpec("north", fps=25, gop=25, loss_pct=2.0, noise=0.3, **SMALL)
    with (
        VirtualCameras([camera]) as farm,
        Service(tmp_path, {"north": {"url": farm.urls["north"], "pixels": "encoded", "transport": "udp"}}) as service,
        Look(service.subscribe()) as look,
    ):
        while look.dropped("north")["network_loss"] < 3 or not any(look.counters("north")):
            look.next()
        assert service.stop() == 0
    look.check()


def test_a_camera_that_changes_its_size_goes_on_with_a_ring_and_a_codec_of_its_own(tmp_path: Path) -> None:
    cameras = [CameraSpec("north", fps=25, gop=20, **SMALL), CameraSpec("south", fps=25, **SMALL)]
    with (
        VirtualCameras(cameras) as farm,
        Service(tmp_path, {name: {"url": url, "pixels": "encoded"} for name, url in farm.urls.items()}) as service,
        Look(service.subscribe()) as look,
    ):
        look.read_until(lambda batch: bool(batch.frames["north"]))
        farm.set("north", width=480, height=270)
        look.read_until(lambda batch: any(frame.width == 480 for frame in batch.frames["north"]))
        look.next()
        assert service.capture_pid("north")
        assert service.status()["streams"]["north"]["restarts"] == 0, "it never hung up"
        assert service.stop() == 0
    look.check()
    frames = look.frames("north")
    sizes = list(dict.fromkeys((frame.width, frame.height, frame.layout.codec) for frame in frames))
    assert [size[:2] for size in sizes] == [(320, 180), (480, 270)]
    assert sizes[0][2] != sizes[1][2]
    assert not look.dropped("north"), "no frame is lost for that"
    assert look.holes("north") == 0
    first = next(at for at, frame in enumerate(frames) if frame.width == 480)
    assert frames[first].keyframe
    for frame in frames[first:]:
        assert look.codes["north", frame.seq] is not None
        assert frame.to_bgr().shape == (270, 480, 3)
    assert not look.dropped("south")


def test_copies_of_a_cameras_coded_pictures_show_what_they_show(tmp_path: Path) -> None:
    cameras = [CameraSpec("north", fps=25, gop=25, **SMALL), CameraSpec("south", fps=25, gop=25, **SMALL)]
    with (
        VirtualCameras(cameras) as farm,
        Service(tmp_path, {name: {"url": url, "pixels": "encoded"} for name, url in farm.urls.items()}) as service,
        service.subscribe() as subscriber,
    ):
        looked_at = 0
        while looked_at < 40:
            batch = subscriber.receive(LIMIT_S)
            for copied in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch)):
                for name, frames in batch.frames.items():
                    for one, other in zip(frames, copied.frames[name], strict=True):
                        assert code_of(other) == code_of(one), "both have the same picture, or none"
                        looked_at += code_of(other) is not None
        assert service.stop() == 0


def test_a_killed_capture_shows_no_wrong_picture_and_comes_back(tmp_path: Path) -> None:
    cameras = [CameraSpec("north", fps=25, gop=40, **SMALL), CameraSpec("south", fps=25, gop=40, **SMALL)]
    with (
        VirtualCameras(cameras) as farm,
        Service(tmp_path, {name: {"url": url, "pixels": "encoded"} for name, url in farm.urls.items()}) as service,
        Look(service.subscribe()) as look,
    ):
        look.read_until(is_complete)
        for _ in range(2):
            back_ns = service.kill_capture("north")
            last = look.read_until(is_complete, since_ns=back_ns)
        last = look.read_until(is_complete, since_ns=last.window_end_ns)
        assert all(look.codes["north", frame.seq] is not None for frame in last.frames["north"])
        assert service.stop() == 0
    look.check()
    assert set(look.dropped("north")) <= {"capture_died", "no_key"}


def clip(path: Path, codec: str = "libx264", frames: int = 60, bframes: int = 0) -> Path:
    """Noise that moves, which no decoder gets right by luck."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (180, 320), np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.options = {
            "preset": "ultrafast", "g": "20", "bf": str(bframes), "colorspace": "bt709",
            "x265-params": f"log-level=none:bframes={bframes}:keyint=20",
        }  # fmt: skip
        for number in range(frames):
            luma = np.full((270, 320), 128, np.uint8)
            luma[:180] = np.roll(noise, 3 * number, axis=1) // 2 + 60
            frame = av.VideoFrame.from_ndarray(luma, "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def pictures(tmp_path: Path, path: Path, *ways: dict[str, Any]) -> list[list[tuple[Frame, NDArray[np.uint8]]]]:
    """Every frame of a recording in each of some ways with its picture.

    All of them are asked for when the batch is complete, last first.
    """
    names = [f"way{place}" for place in range(len(ways))]
    streams = {name: {"url": f"file:{path}", "pace": "asap", **way} for name, way in zip(names, ways, strict=True)}
    found: dict[str, list[tuple[Frame, NDArray[np.uint8]]]] = {name: [] for name in names}
    with Service(tmp_path, streams, publish={"wait_for": 1}) as service, service.subscribe() as subscriber:
        for batch in subscriber:
            for name in names:
                found[name] += [(frame, frame.to_bgr()) for frame in reversed(batch.frames[name])][::-1]
        assert service.process.wait(30) == 0, service.log
    return list(found.values())


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_recording_shows_the_same_pictures_coded_and_decoded(tmp_path: Path, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip("no encoder of H.265 here")
    path = clip(tmp_path / "a.mp4", codec)
    coded, plain = pictures(tmp_path, path, {"pixels": "encoded"}, {"pixels": "i420"})
    assert [frame.seq for frame, _ in coded] == [frame.seq for frame, _ in plain] == list(range(60))
    assert all((one == two).all() for (_, one), (_, two) in zip(coded, plain, strict=True))
    assert sum(frame.pixels.size for frame, _ in coded) < sum(frame.pixels.size for frame, _ in plain) / 5


def psnr(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - two) ** 2)))


def test_jpegs_of_a_recording_are_as_good_as_asked_for(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=30)
    ways = ({"pixels": "bgr24"}, {"pixels": "jpeg", "quality": 40}, {"pixels": "jpeg", "quality": 95})
    plain, *both = pictures(tmp_path, path, *ways)
    sizes = []
    for coded, least in zip(both, (20, 33), strict=True):
        assert min(psnr(one, two) for (_, one), (_, two) in zip(coded, plain, strict=True)) > least
        sizes.append(sum(frame.pixels.size for frame, _ in coded))
    assert 2 * sizes[0] < sizes[1]


def test_a_recording_with_b_frames_is_refused_in_one_line(tmp_path: Path) -> None:
    path = clip(tmp_path / "b.mp4", bframes=2)
    config = {"streams": {"a": {"url": f"file:{path}", "pixels": "encoded"}}, "http": None,
              "publish": {"live": "tcp://127.0.0.1:0", "control": "tcp://127.0.0.1:0"}}  # fmt: skip
    (tmp_path / "b.yaml").write_text(json.dumps(config))
    result = subprocess.run(
        [sys.executable, "-m", "syncsvc", "run", str(tmp_path / "b.yaml")], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 78
    line = result.stderr.splitlines()[-1]
    assert "streams.a" in line
    assert "has B-frames" in line
    assert "-bf 0" in line


def live(clip: bytes) -> Any:
    """A camera that sends a clip at its pace."""

    def serve(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "video/mp2t")
        step = max(1, len(clip) // 60)
        for at in range(0, len(clip), step):
            handler.wfile.write(clip[at : at + step])
            sleep_s(4 / 60)

    return serve


def test_b_frames_of_a_camera_are_lost_by_name_and_the_stream_says_so(tmp_path: Path) -> None:
    now_us = SYSTEM_CLOCK.utc_ns() // 1000
    coded = video({number: now_us + number * PERIOD_US for number in range(4 * FPS)}, bframes=2)
    with (
        http_camera({"/a": live(coded)}) as url,
        Service(tmp_path, {"a": {"url": f"{url}/a", "pixels": "encoded"}}) as service,
        service.follow() as history,
    ):
        history.read_until(lambda batch: batch.counts["a"].dropped.get("b_frame", 0) > 5)
        assert "B-frames" in service.status()["streams"]["a"]["problem"]
        assert service.log.count("sends B-frames") == 1
        service.stop()
    history.check()
    times = [frame.time_ns for frame in history.frames("a")]
    assert times == sorted(times)


def test_motion_jpeg_over_http_reaches_the_subscriber_as_the_camera_sent_it(tmp_path: Path) -> None:
    made = jpegs(50)

    def serve(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, MULTIPART)
        for jpeg, at in made:
            handler.wfile.write(part(jpeg, f"X-Timestamp: {at // 1_000_000}.{at % 1_000_000:06d}"))
            sleep_s(PERIOD_US / 1e6)

    sent = [jpeg for jpeg, _ in made]
    seen: dict[str, list[bytes]] = {"jpeg": [], "encoded": []}
    with (
        http_camera({"/": serve}) as url,
        Service(tmp_path, {pixels: {"url": url, "pixels": pixels} for pixels in seen}) as service,
        service.subscribe() as subscriber,
    ):
        history = History()
        while min(map(len, seen.values())) < 30:
            for pixels, frames in history.take(subscriber.receive(timeout_s=LIMIT_S)).frames.items():
                for frame in frames:
                    seen[pixels].append(frame.pixels.tobytes())
                    code = code_of(frame)
                    assert code is not None
                    assert made[code.counter][0] == seen[pixels][-1]
                    assert frame.format == pixels
        service.stop()
    assert all(Counter(some) <= Counter(sent * 2) for some in seen.values())


def test_tail_prints_the_header_of_a_coded_stream_as_json(tmp_path: Path) -> None:
    with (
        VirtualCameras([CameraSpec("north", fps=25, **SMALL)]) as farm,
        Service(tmp_path, {"north": {"url": farm.urls["north"], "pixels": "encoded"}}) as service,
    ):
        with service.follow() as history:
            history.read_until()
        command = [sys.executable, "-m", "syncsvc", "tail", service.live, "--count", "1", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        header = json.loads(done.stdout)
        assert header["streams"]["north"]["codec"]["name"] == "h264"
        assert header["streams"]["north"]["codec"]["extradata"].startswith("AAAAAWd"), "a parameter set in base 64"
        assert service.stop() == 0


@pytest.mark.parametrize("pixels", ["encoded", "jpeg"])
def test_real_cameras_give_the_recorders_own_sets(tmp_path: Path, pixels: str) -> None:
    folder = find_data("four-cameras")
    cameras = {
        name: {**options, "pixels": pixels}  # type: ignore[dict-item]
        for name, options in streams(folder, "asap", folder / "timestamps.csv").items()
    }
    history, sets = play(tmp_path, cameras)
    for name in NAMES:
        assert [frame.seq for frame in history.frames(name)] == list(range(48))
    assert sets == {frozenset(one.items()) for one in reference_sets(folder)}


def beginning_of(path: Path, film: Path, frames: int) -> Path:
    """So many pictures of a film, as they are coded there."""
    with av.open(str(film)) as whole, av.open(str(path), "w") as part:
        stream = part.add_stream_from_template(whole.streams.video[0])
        for packet in itertools.islice(whole.demux(whole.streams.video[0]), frames):
            packet.stream = stream
            part.mux(packet)
    return path


def test_a_real_film_shows_the_same_pictures_coded_and_decoded(tmp_path: Path) -> None:
    """Two seconds of it: who asks for the last picture first has all before it decoded, again and again."""
    path = beginning_of(tmp_path / "film.mp4", find_data("street") / "bigbuckbunny.mp4", 50)
    coded, plain = pictures(tmp_path, path, {"pixels": "encoded"}, {"pixels": "i420"})
    assert len(coded) == len(plain) == 50
    assert all((one == two).all() for (_, one), (_, two) in zip(coded, plain, strict=True))
