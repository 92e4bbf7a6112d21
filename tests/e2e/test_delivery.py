"""Who gets what: patient recordings, subscribers of everything, late readers, and peers that lie."""

import threading
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import zmq

from syncsvc import FrameBatch
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from tests.e2e.harness import LIMIT_S, History, Service, is_any
from tests.zmtp import part, raw_peer

SMALL = "size=320x180"


def test_a_slow_subscriber_of_recordings_gets_everything(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
            for number in range(120):
                picture = np.full((270, 320), number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
            container.mux(stream.encode(None))
    streams = {name: {"url": f"file:{name}.mp4", "pace": "asap"} for name in ("a", "b")}
    history = History()
    with Service(tmp_path, streams, publish={"wait_for": 1}) as service, service.subscribe() as subscriber:
        for batch in subscriber:
            history.take(batch)
            threading.Event().wait(0.3)  # what slowness is
        assert service.process.wait(30) == 0, service.log
    history.check()
    for name in ("a", "b"):
        assert [frame.seq for frame in history.frames(name)] == list(range(120))


def test_a_subscriber_of_all_groups_misses_none(tmp_path: Path) -> None:
    streams = {"a": {"url": f"synthetic:?fps=25&{SMALL}"}}
    groups = {f"g{number}": {"streams": ["a"]} for number in range(6)}
    with Service(tmp_path, streams, groups=groups) as service, service.subscribe() as subscriber:
        for _ in range(24):
            assert isinstance(subscriber.receive(timeout_s=LIMIT_S), FrameBatch)
        assert subscriber.stats.missed == 0
        assert service.stop() == 0


def test_a_drain_with_many_open_windows_sends_them_all(tmp_path: Path) -> None:
    streams = {
        "prompt": {"url": f"synthetic:?fps=20&{SMALL}"},
        "tardy": {"url": f"synthetic:?fps=20&{SMALL}&latency_ms=1500&seed=2"},
    }
    groups = {"g": {"streams": ["prompt", "tardy"], "window_ms": 100, "max_latency_ms": 2000}}
    with Service(tmp_path, streams, groups=groups) as service, service.follow("g") as history:
        history.read_until(most=80)
        assert service.stop() == 0
        history.read_rest()
    # Before the drain a starved reader may lose batches at its mark; from the drain on it is waited for.
    drained = [batch.seq for batch in history.batches if "draining" in batch.missing.values()]
    assert len(drained) >= 10
    assert drained == list(range(drained[0], drained[0] + len(drained)))


def test_a_peer_that_lies_of_subscriptions_silences_nobody(tmp_path: Path) -> None:
    groups = {"all": {"streams": ["a"], "window_ms": 500}}
    with (
        Service(tmp_path, {"a": {"url": f"synthetic:?fps=25&{SMALL}"}}, groups=groups) as service,
        service.follow("all") as history,
    ):
        history.read_until()
        for lie in (b"\x00batch/all", b"\x00status", b"\x01" + b"x" * 200):
            with raw_peer(service.live) as peer:
                for _ in range(50):
                    peer.sendall(part(lie))
                history.read_until(is_any, since_ns=SYSTEM_CLOCK.utc_ns())
            history.read_until(is_any, since_ns=SYSTEM_CLOCK.utc_ns())
        assert service.stop() == 0
    history.check()


def test_a_flood_of_words_does_not_stop_the_batches(tmp_path: Path) -> None:
    with (
        Service(tmp_path, {"a": {"url": f"synthetic:?fps=25&{SMALL}"}}) as service,
        service.follow() as history,
        zmq.Context.instance().socket(zmq.XSUB) as flood,
    ):
        flood.set(zmq.LINGER, 0)
        flood.set(zmq.SNDHWM, 1000)
        flood.connect(service.live)
        history.read_until()
        flooded_ns = SYSTEM_CLOCK.utc_ns()
        while history.next().window_start_ns < flooded_ns + NS_PER_S:
            while not history.has_more:
                with suppress(zmq.Again):
                    flood.send(b"\x02junk", zmq.DONTWAIT)
        assert service.stop() == 0
    history.check()
