"""``syncsvc record`` on a real service: what is in the files is what its subscribers saw."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from syncsvc import FrameBatch, Recorder, Subscriber, nal
from syncsvc.capture import stamps
from syncsvc.cli import main
from syncsvc.clock import NS_PER_MS as MS
from syncsvc.lifecycle import Worker
from syncsvc.model import Frame
from syncsvc.recording.contents import StoredBatch, StoredPicture
from syncsvc.recording.folder import FolderRecording
from syncsvc.recording.opening import open_recording
from syncsvc.recording.verification import verify
from syncsvc.sinks.record.tape import TapeTally
from tests.e2e.harness import LIMIT_S, Service
from tests.film import COUNT, write_clip
from tests.killed_recorders import kill_recorders
from tests.recordings import header_line


def pictures(path: Path) -> list[Any]:
    """What libav shows of a file."""
    with av.open(str(path)) as film:
        return list(film.decode(video=0))


def raw(picture: Any, pixels: str) -> NDArray[np.uint8]:
    """A picture's bytes as a payload of the service has them."""
    if pixels == "bgr24":
        return np.asarray(picture.to_ndarray(format="bgr24"), np.uint8).reshape(-1)
    rows = [np.asarray(picture.to_ndarray(format=picture.format.name), np.uint8)]
    return np.concatenate([one.reshape(-1) for one in rows])


def frames_of(batches: list[FrameBatch], stream: str) -> list[Frame]:
    return sorted((one for batch in batches for one in batch.frames[stream]), key=lambda one: one.seq)


def units(picture: StoredPicture) -> bytes:
    """A picture's data, whatever the length of its start codes."""
    is_coded = picture.layout.codec is not None and picture.layout.codec.name in nal.CODECS
    return nal.with_lengths(picture.data) if is_coded else picture.data


SAME = ("stream", "frame", "seq", "time_ns", "is_key", "is_ours")
PIXELS: Mapping[str, Mapping[str, Any]] = {
    "own": {"pixels": "encoded"},
    "both": {"pixels": "i420", "coded": True},
    "plain": {"pixels": "i420"},
    "grey": {"pixels": "gray8"},
    "colour": {"pixels": "bgr24"},
    "jpeg": {"pixels": "jpeg"},
}


def test_the_files_hold_what_subscribers_saw_bit_for_bit(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    streams = {name: {"url": "file:clip.mp4", "pace": "asap"} | how for name, how in PIXELS.items()}
    groups = {"all": {"streams": list(streams), "window_ms": 400}}
    tape, exact, mcap = (tmp_path / name for name in ("tape", "exact", "mcap"))
    tallies: list[TapeTally] = []
    with Service(tmp_path, streams, groups=groups, publish={"wait_for": 4}) as service:
        line = [sys.executable, "-m", "syncsvc", "record", service.live, str(exact), "--codec", "ffv1", "--json"]
        with (
            subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command,
            Subscriber(service.live, "all", "lossless") as seen,
            Recorder(service.live, tape) as recorder,
            Recorder(service.live, mcap, format="mcap") as other,
        ):
            workers = [
                Worker("records", lambda _: tallies.append(recorder.run())).start(),
                Worker("records", lambda _: tallies.append(other.run())).start(),
            ]
            batches = list(seen)
            for worker in workers:
                assert worker.join(LIMIT_S)
                assert worker.error is None, worker.error
            out, err = command.communicate(timeout=LIMIT_S)
        assert service.process.wait(LIMIT_S) == 0, service.log
    assert (command.returncode, err) == (0, "")
    report = json.loads(out)
    assert report["streams"].keys() == PIXELS.keys()
    assert {one["frames"] for one in report["streams"].values()} == {COUNT}
    assert (report["batches"], report["gaps"], report["equal_counts"]) == (len(batches), 0, True)
    assert len(tallies) == 2
    for tally in tallies:
        assert {name: (one.frames, dict(one.unrecorded)) for name, one in tally.streams.items()} == {
            name: (COUNT, {}) for name in PIXELS
        }
    for folder in (tape, exact, mcap):
        findings = verify(open_recording(str(folder)))
        assert (findings.differences, findings.notes) == ([], []), folder
    for name, how in PIXELS.items():
        live = frames_of(batches, name)
        for folder in (tape, exact):
            (path,) = folder.glob(f"{name}.*")
            shown = pictures(path)
            assert len(shown) == COUNT
            first_ns = batches[0].window_start_ns
            for one, frame in zip(shown, live, strict=True):
                tick_ns = MS if path.suffix == ".mkv" else 1000
                assert abs(int(one.pts * one.time_base * 10**9) - (frame.time_ns - first_ns)) <= tick_ns, name
            is_exact = folder is exact or name == "both"
            if how["pixels"] in ("i420", "gray8", "bgr24") and is_exact:
                for one, frame in zip(shown, live, strict=True):
                    assert np.array_equal(raw(one, how["pixels"]), frame.pixels), (name, frame.seq)
    own = next(iter(FolderRecording(tape).segments))
    for film, kept, frame in zip(own.filmed("own"), own.pictures("own"), frames_of(batches, "own"), strict=True):
        time_ns = frame.time_ns // 1000 * 1000
        assert stamps.first_of(nal.user_data(film.data, "h264")) == (time_ns, 1000)
        assert nal.with_lengths(kept.data) == nal.with_lengths(bytes(frame.pixels)), "without our time"
    (film,), (messages,) = (open_recording(str(folder)).segments for folder in (tape, mcap))
    assert [one.name for one in mcap.iterdir()] == ["recording.mcap"]
    for one, two in zip(film.batches(), messages.batches(), strict=True):
        assert isinstance(one, StoredBatch)
        assert isinstance(two, StoredBatch)
        assert header_line(one.batch) == header_line(two.batch)
    for name in PIXELS:
        for this, that in zip(film.pictures(name), messages.pictures(name), strict=True):
            assert units(this) == units(that)
            assert [getattr(this, each) == getattr(that, each) for each in SAME] == [True] * len(SAME)
    headers = [json.loads(text) for text in (tape / "batches.jsonl").read_text().splitlines()]
    assert [one["seq"] for one in headers] == [one.seq for one in batches]
    assert headers[0]["streams"]["both"]["format"] == "i420", "as everybody is told"
    assert (tape / "times.csv").read_text().startswith("stream,frame,time_s,seq,uncertainty_ns,clock,arrival_ns\n")
    assert (tape / "sets.csv").read_text().startswith("set,window_start_ns,spread_ns,own,both,plain,grey,colour,jpeg\n")


@pytest.mark.parametrize("kinds", [["both"], ["both", "plain"]])
def test_a_recording_of_one_batch_has_all_of_it_by_a_recorder_that_was_there_before_its_service(
    tmp_path: Path, kinds: list[str]
) -> None:
    """The only subscriber, of a service that waits for one and is over as soon as its batch has left."""
    write_clip(tmp_path / "clip.mp4")
    streams = {name: {"url": "file:clip.mp4", "pace": "asap"} | PIXELS[name] for name in kinds}
    publish = {"live": f"ipc://{tmp_path}/live", "control": f"ipc://{tmp_path}/control", "wait_for": 1}
    recorder, tallies = Recorder(publish["live"], tmp_path / "tape"), list[TapeTally]()
    recording = Worker("records", lambda _: tallies.append(recorder.run())).start()
    with Service(tmp_path, streams, groups={"all": {"streams": kinds, "window_ms": 5000}}, publish=publish) as service:
        assert service.process.wait(LIMIT_S) == 0, service.log
    assert recording.join(LIMIT_S)
    assert recording.error is None, recording.error
    assert {name: one.frames for name, one in tallies[0].streams.items()} == dict.fromkeys(kinds, COUNT)
    assert (tallies[0].batches, tallies[0].gaps) == (1, 0)
    findings = verify(FolderRecording(tmp_path / "tape"))
    assert (findings.differences, findings.notes) == ([], [])


def test_a_recorder_that_is_killed_costs_at_most_the_batch_in_hand(tmp_path: Path) -> None:
    assert kill_recorders(tmp_path, count=2, seed=7) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tcp://127.0.0.1:1", "{full}"], "is not empty (it has notes.txt)"),
        (["tcp://127.0.0.1:1", "{full}/notes.txt"], "is there, and no folder"),
        (["tcp://127.0.0.1:1", "new", "--segment", "soon"], "a number above 0 and s, m, h, d, as in 10m"),
        (["tcp://127.0.0.1:1", "new", "--max-size", "0"], "found '0'"),
        (["nowhere", "new"], "nowhere"),
        (["tcp://127.0.0.1:1", "new", "--format", "mcap", "--codec", "ffv1"], "record it with format 'mp4'"),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    given = [word.format(full=tmp_path / "full") for word in words]
    given[1] = given[1] if "/" in given[1] else str(tmp_path / given[1])
    result = CliRunner().invoke(main, ["record", *given])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
    assert said in result.stderr
