"""The benchmarks on small loads: that they measure what they say, not what the figures are."""

import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np
import pytest

from syncsvc.bench import article, capacity, clip, latency, pipeline, record, stills, transport, ways
from syncsvc.bench.article_programs import TimedGet
from syncsvc.bench.pipeline import Load
from syncsvc.bench.running_service import NOBODY
from syncsvc.daemon.runner import DaemonRunner
from syncsvc.errors import LinkClosed
from tests.e2e.test_playback import film


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it."""
    return subprocess.run(
        [sys.executable, "-m", "syncsvc", "bench", *arguments], capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lets figures settle is not waited for: none is judged here."""
    monkeypatch.setattr(latency, "_WARM_UP_S", 2.0)
    monkeypatch.setattr(pipeline, "_WARM_UP_FRAMES", 25)
    monkeypatch.setattr(capacity, "_STEP_S", 1.0)
    monkeypatch.setattr(article, "_FIRST_SKIPPED", 1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    clip.make(path, 50)
    return path


@pytest.fixture(scope="module")
def small_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty frames of a small camera, where it does not matter how long a picture takes."""
    return film(tmp_path_factory.mktemp("film") / "film.mp4", 50)


def test_the_recording_is_what_a_1080p_camera_sends(recording: Path) -> None:
    with av.open(str(recording)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.width, context.height, context.has_b_frames) == ("h264", 1920, 1080, False)
        assert stream.average_rate == 25
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert [packet.pts for packet in packets] == sorted(packet.dts for packet in packets if packet.dts is not None)
        assert len(packets) == 50
        assert 2e6 < sum(packet.size for packet in packets) * 8 / 2 < 6e6


@pytest.mark.parametrize("way", [way for way in ways.available("bgr24") if ways.WAYS[way].receiver is not None])
def test_every_way_hands_over_every_frame_and_both_ends_take_time(way: str) -> None:
    found = transport.measure(way, "bgr24", 5, 0)
    assert found.latency_ms.count == 5
    assert 0 < found.latency_ms.p50 <= found.latency_ms.max
    assert found.sender_ms > 0
    assert found.receiver_ms > 0
    assert found.cpu_ms == found.sender_ms + found.receiver_ms


@pytest.mark.parametrize("way", [ways.COPY, ways.PACING])
def test_what_bounds_the_ways_has_no_receiver(way: str) -> None:
    found = transport.measure(way, "i420", 5, 0)
    assert found.latency_ms.count == 0
    assert found.sender_ms > 0
    assert found.receiver_ms == 0


def test_a_way_that_breaks_is_told_with_its_last_words() -> None:
    with pytest.raises(LinkClosed, match="handing over ended with 1: KeyError: 'pigeon'"):
        transport.measure("pigeon", "i420", 1, 0)


def test_a_subscriber_of_the_service_is_measured_by_itself(small_film: Path) -> None:
    found = transport.subscriber(small_film, "ipc", 1.0)
    assert found.receiver_ms > 0
    assert found.sender_ms > 0


def test_a_turn_of_the_pipeline_counts_the_processes_that_it_names(small_film: Path) -> None:
    alone = pipeline.measure(small_film, Load("asap", "i420", NOBODY), 0.5)
    assert alone.parts_ms.keys() == set(pipeline.PARTS)
    assert alone.total_ms == sum(alone.parts_ms.values())
    assert alone.parts_ms[pipeline.CAPTURE] > alone.parts_ms["daemon"]
    assert alone.fps > 0
    subscribed = pipeline.measure(small_film, Load("asap", "bgr24", "ipc"), 0.5)
    assert subscribed.parts_ms.keys() == {*pipeline.PARTS, pipeline.SUBSCRIBER}
    assert subscribed.parts_ms[pipeline.SUBSCRIBER] > 0
    assert subscribed.total_ms == sum(subscribed.parts_ms[part] for part in pipeline.PARTS)


def test_bare_decoding_goes_through_the_recording_again_and_again(small_film: Path) -> None:
    bare = pipeline.measure(small_film, Load("asap", "i420"), 0.75)  # 75 frames after 25: twice the small_film
    assert bare.parts_ms == {}
    assert bare.total_ms > 0.1
    with pytest.raises(LinkClosed):
        pipeline.measure(small_film.with_name("absent.mp4"), Load("asap", "i420"), 0.1)


def test_a_level_of_the_capacity_is_so_many_streams_or_decoders(small_film: Path) -> None:
    bare = capacity.bare_level(small_film, 2, 1.0)
    assert bare.streams == 2
    assert bare.is_held == (not bare.why)
    level = capacity.level_of(small_film, 2, "i420", NOBODY, 1.0)
    assert level.streams == 2
    assert level.is_held == (not level.why)
    assert 5 < level.capture_mib < 500
    assert all(5 < mib < 1000 for mib in level.receiver_mib)
    with pytest.raises(LinkClosed, match=r"did not become ready: .*pixels"):
        capacity.level_of(small_film, 1, "webp", NOBODY, 1.0)


def test_every_way_to_save_stills_writes_every_picture_and_its_start_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [np.full((50, 50, 1), value, np.uint8) for value in range(70)]
    for way in stills.ARTICLE:
        found = stills.article(way, images, str(tmp_path))
        assert (found.pictures, found.total_s) == (70, found.start_s + found.save_s)
        assert (found.start_s > 1e-3) or not way.endswith("processes")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(stills, "_FEW", 0)
    assert stills.ours("loop", images, str(tmp_path)).pictures == 70
    assert stills.article("chunked threads", images, str(tmp_path)).pictures == 70
    assert [len(list(folder.glob("*.jpg"))) for folder in tmp_path.iterdir()] == [70, 70]
    assert {path.read_bytes() for path in tmp_path.glob("*/7.jpg")} == {cv2.imencode(".jpg", images[7])[1].tobytes()}


def test_recording_is_measured_beside_bare_remuxing_and_coding(recording: Path) -> None:
    bare, coded = (record.compared(recording, how, 1.0) for how in ("remux", "encode"))
    assert (bare.frames, coded.frames) == (100, 25)
    found = record.recorded(recording, {"pixels": "encoded"}, 1.0)
    assert found.frames >= record.STREAMS * 20
    assert min(found.cpu_ms, bare.cpu_ms, coded.cpu_ms) > 0


def test_a_service_s_stills_are_measured_beside_the_encoder(recording: Path) -> None:
    distinct = stills.decoded(recording)
    found = stills.live(recording, "bgr24", distinct, 1.0)
    assert found.pictures >= 20
    assert found.service_ms > 0.5 * found.encoder_ms > 0
    results = stills.Results({"live service, bgr24": [found]}, {})
    took = stills.Results({"article: loop": [stills.Took(100, 0.0, 1.0)]}, {})
    made = stills.report({"100 of 50x50": took}, results)
    assert [table.title for table in made.tables] == [
        "100 of 50x50 to JPEG", "1080p25 from a running service, quality 95",
    ]  # fmt: skip
    assert set(made.ratios) == {"live service, bgr24: CPU a picture / encoder alone (aim: <= 1.15)"}
    assert made.plot == stills.Bars(
        "Saving 100 of 50x50, start of the workers included", "s", {"article: loop": 1.0}, True
    )


@pytest.mark.alone
def test_a_turn_of_the_latency_follows_batches_to_the_subscriber(small_film: Path) -> None:
    latency.write_times(small_film, streams=2, frames=50)
    found = latency.measure(small_film, "ipc", "windows of 1000 ms", 4.0, streams=2)
    assert found.needed_ms.count == found.emitted_ms.count > 0
    assert 0 < found.emitted_ms.p50 < found.needed_ms.p50, "it was needed before it was sent"


@pytest.mark.parametrize("which", article.PROGRAMS.values())
def test_the_programs_of_the_article_deliver(small_film: Path, which: str) -> None:
    with article.program(small_film, which) as process:
        assert process.stdout is not None
        first, second = (msgspec.json.decode(process.stdout.readline(), type=TimedGet) for _ in range(2))
    assert first.at_ns < second.at_ns
    assert min(first.first_ns, first.second_ns) > 0


def test_the_service_beside_the_article_delivers_seconds(small_film: Path) -> None:
    found = article.measure(small_film, "syncsvc, tcp", 5.0)
    assert found.interval_s.count > 0
    assert found.get_ms.p50 > 0


def test_a_live_run_scores_every_rule_on_what_the_service_sent() -> None:
    done = bench("accuracy", "--only", "live", "--seconds", "4", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["benchmark"] == "accuracy"
    assert found["command"] == "syncsvc bench accuracy --seconds 4 --only live"
    assert found["machine"]["cores"]
    assert found["simulated"] == {}
    for run, with_ntp in {"rtcp": True, "latency": False}.items():
        live = found["live"][run]
        assert live["cameras"].keys() == {"a25", "b30", "c29", "d15"}
        assert all(camera["captured"] > 0 for camera in live["cameras"].values())
        assert ("NTP+ROS" in live["rules"]) is with_ntp
        assert live["rules"]["syncsvc"]["sets"] > 0
        assert live["rules"]["oracle"]["identical_pct"] == 100
    assert set(found["live"]["rtcp"]["cameras"]["a25"]["clocks"]) == {"rtcp"}
    assert "rtcp" not in found["live"]["latency"]["cameras"]["a25"]["clocks"]


def test_one_simulated_case_is_a_line_of_every_table() -> None:
    done = bench("accuracy", "--case", "two-alike")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.strip().startswith("two-alike")]
    assert len(lines) == 6
    assert len(lines[0].split()) == 9
    assert "command: syncsvc bench accuracy --case two-alike" in done.stdout


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (bench("accuracy", "--case", "two-alike", "--json") for _ in range(2))
    assert json.loads(first.stdout)["simulated"] == json.loads(second.stdout)["simulated"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("nothing",),
            "'transport', 'pipeline', 'capacity', 'latency', 'article', 'process', 'record', 'stills', 'accuracy'",
        ),
        (("accuracy", "--rounds", "2"), "--rounds means nothing to `bench accuracy`"),
        (("accuracy", "--case", "five"), "--case five is not known; cases are four, four-latency"),
        (("accuracy", "--case", "four", "--only", "live"), "--only live leaves that out"),
        (("accuracy", "--only", "dead"), "--only dead is not known to accuracy; halves are simulated, live"),
        (("transport", "--only", "pigeon"), "--only 'pigeon' names nothing; there are bgr24, flat out, ring;"),
        (("transport", "--seconds", "2"), "it takes --rounds, --frames, --only"),
        (("latency", "--step", "2"), "--step means nothing to `bench latency`"),
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


def test_process_has_a_picture_made_by_ways_of_both_kinds(tmp_path: Path) -> None:
    words = ("--only", "starmap, filter", "--rounds", "1", "--frames", "1", "--json")
    found = bench("process", *words, "--plot", str(tmp_path / "bars.png"))
    assert found.returncode == 0, found.stderr
    rows = json.loads(found.stdout)["process"]
    assert set(rows) == {"FramePool.starmap, a filter each"}
    for row in rows.values():
        assert row["cost"]["made"] == 8
        assert row["peak_bytes"] > row["cost"]["made"] * 1920 * 1080 * 3 / 8
    assert (tmp_path / "bars.png").stat().st_size > 1000
    theirs = json.loads(bench("process", "--only", "array", *words[2:]).stdout)["process"]
    assert [row["cost"]["made"] for row in theirs.values()] == [1]
