"""Recordings that are interrupted: a capture that is killed goes on where it stopped, and the account still closes."""

import os
import signal
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from syncsvc import barcode
from tests.e2e.harness import LIMIT_S, History, Service

FPS, FRAMES = 25, 150
MANY = 1500
"""More than rings, queues and sockets hold: whoever reads at no pace is not done while its first batches are read."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds whose pictures carry their number."""
    return film(tmp_path_factory.mktemp("clips") / "clip.mp4", FRAMES)


def film(path: Path, frames: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.options = {"g": "25", "bf": "2", "preset": "veryfast"}
        for number in range(frames):
            picture = np.full((270, 320), 128, np.uint8)
            barcode.draw(picture[:180], 1, number, number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def numbers(history: History) -> list[int]:
    found = [barcode.read(frame.to_bgr()) for frame in history.frames("clip")]
    return [one.counter for one in found if one is not None]


def test_a_killed_capture_goes_on_where_it_stopped(tmp_path: Path) -> None:
    history, clip = History(), film(tmp_path / "long.mp4", MANY)
    streams = {"clip": {"url": f"file:{clip}", "pace": "asap"}}
    with Service(tmp_path, streams, publish={"wait_for": 1}) as service, service.subscribe() as subscriber:
        for batch in subscriber:
            history.take(batch)
            if len(history.batches) in (2, 4):
                service.kill_capture("clip")
        assert service.process.wait(LIMIT_S) == 0, service.log
    history.check()
    seen = numbers(history)
    assert seen == sorted(set(seen)), "a picture came twice"
    lost = sum(history.dropped("clip").values())
    assert len(seen) + lost == MANY
    assert lost <= 2


def test_a_capture_that_is_killed_in_real_time_is_back_for_the_end(tmp_path: Path, clip: Path) -> None:
    history = History()
    streams = {"clip": {"url": f"file:{clip}", "pace": "realtime"}}
    with Service(tmp_path, streams, publish={"wait_for": 1}) as service, service.subscribe() as subscriber:
        for batch in subscriber:
            history.take(batch)
            if len(history.batches) in (2, 4):
                with suppress(OSError):  # whoever reads a batch late finds the recording over, or the service
                    if (pid := service.status()["streams"]["clip"]["pid"]) is not None:
                        os.kill(pid, signal.SIGKILL)
        assert service.process.wait(LIMIT_S) == 0, service.log
    history.check()
    seen = numbers(history)
    assert seen == sorted(set(seen)), "a picture came twice"
    assert seen[-1] == FRAMES - 1
    assert set(history.dropped("clip")) <= {"capture_died"}


def test_a_loop_goes_on_in_time(tmp_path: Path, clip: Path) -> None:
    streams = {"clip": {"url": f"file:{clip}", "pace": "asap", "loop": True}}
    with Service(tmp_path, streams, publish={"wait_for": 1}) as service, service.follow() as history:
        history.read_until(lambda batch: any(frame.seq > 2.5 * FRAMES for frame in batch.frames["clip"]))
        assert service.stop() == 0
    history.check()
    frames = history.frames("clip")
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    steps = {round((b.time_ns - a.time_ns) / 1e6) for a, b in pairwise(frames)}
    assert steps == {40}
    assert numbers(history)[: 2 * FRAMES] == [*range(FRAMES), *range(FRAMES)]


def test_a_receiver_that_is_killed_in_a_recording_costs_only_what_it_held(tmp_path: Path, clip: Path) -> None:
    streams = {"clip": {"url": f"file:{clip}"}}
    with Service(tmp_path, streams, publish={"wait_for": 1}) as service, service.follow() as history:
        history.read_until(lambda batch: len(batch.frames["clip"]) == FPS)
        service.kill_receiver()
        history.read_to_the_end()
        assert service.process.wait(LIMIT_S) == 0, service.log
    history.check()
    seen = numbers(history)
    assert seen == sorted(set(seen))
    assert seen[-1] == FRAMES - 1
