"""The benchmarks on small loads: that they measure what they say, not what the figures are."""

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest

from syncsvc.bench import clip, pipeline, transport, ways
from syncsvc.bench.runner import DaemonRunner
from syncsvc.errors import LinkClosed


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it."""
    return subprocess.run(
        [sys.executable, "-m", "syncsvc", "bench", *arguments], capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    clip.make(path, 50)
    return path


def test_the_recording_is_what_a_1080p_camera_sends(recording: Path) -> None:
    with av.open(str(recording)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.width, context.height, context.has_b_frames) == ("h264", 1920, 1080, False)
        assert stream.average_rate == 25
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert [packet.pts for packet in packets] == sorted(packet.dts for packet in packets)
        assert len(packets) == 50
        assert 2e6 < sum(packet.size for packet in packets) * 8 / 2 < 6e6


@pytest.mark.parametrize("way", ways.WAYS)
def test_every_way_hands_over_every_frame_and_both_ends_take_time(way: str) -> None:
    found = transport.measure(way, "bgr24", 5, 0)
    assert found.latency_ms.count == 5
    assert 0 < found.latency_ms.p50 <= found.latency_ms.max
    assert found.sender_ms > 0
    assert found.receiver_ms > 0
    assert found.cpu_ms == found.sender_ms + found.receiver_ms


def test_a_turn_of_the_pipeline_counts_the_processes_that_it_names(recording: Path) -> None:
    alone = pipeline.measure(recording, "asap", pipeline.ALONE, 0.5)
    assert alone.parts_ms.keys() == set(pipeline.PARTS)
    assert alone.total_ms == sum(alone.parts_ms.values())
    assert alone.parts_ms[pipeline.CAPTURE] > alone.parts_ms["daemon"]
    assert alone.fps > 0
    subscribed = pipeline.measure(recording, "asap", pipeline.SUBSCRIBED, 0.5)
    assert subscribed.parts_ms.keys() == {*pipeline.PARTS, pipeline.SUBSCRIBER}
    assert subscribed.parts_ms[pipeline.SUBSCRIBER] > 0
    assert subscribed.total_ms == sum(subscribed.parts_ms[part] for part in pipeline.PARTS)


def test_bare_decoding_goes_through_the_recording_again_and_again(recording: Path) -> None:
    bare = pipeline.measure(recording, "asap", pipeline.BARE, 0.75)  # 75 frames after 25: twice the recording
    assert bare.parts_ms == {}
    assert bare.total_ms > 0.1
    with pytest.raises(LinkClosed):
        pipeline.measure(recording.with_name("absent.mp4"), "asap", pipeline.BARE, 0.1)


def test_accuracy_prints_one_object() -> None:
    done = bench("accuracy", "--seconds", "5", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["benchmark"] == "accuracy"
    assert found["command"] == "syncsvc bench accuracy --seconds 5"
    assert found["machine"]["cores"]
    assert found["accuracy"]["cameras"].keys() == {"a25", "b30", "c29", "d15"}
    assert all(camera["captured"] > 0 for camera in found["accuracy"]["cameras"].values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "'transport', 'pipeline', 'accuracy'"),
        (("accuracy", "--rounds", "2"), "--rounds means nothing to `bench accuracy`"),
        (("transport", "--seconds", "2"), "it takes --rounds, --frames"),
        (("transport", "--rounds", "0"), "0 is not in the range"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_daemon_that_refuses_its_configuration_is_one_error_with_its_last_words() -> None:
    with (
        pytest.raises(LinkClosed, match=r"did not become ready: .*groups"),
        DaemonRunner({"streams": {"a": {"url": "synthetic:"}}, "groups": {"g": {"streams": ["b"]}}}),
    ):
        pass
