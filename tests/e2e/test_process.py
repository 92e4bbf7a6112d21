"""``syncsvc process`` as a user runs it: on a scripted service whose every result is known, and on a real one."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from syncsvc import Result, Subscriber
from syncsvc.layout import Layout
from syncsvc.wire import decode_status
from syncsvc.wire.result import decode_result
from tests.batches import MS, T0, batch, frame, together
from tests.e2e.harness import Service
from tests.e2e.livesocket import LiveSocket

WAIT_MS = 60_000
TASKS = "tests.process.pool_tasks"


@contextmanager
def processing(*words: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command, and where its results are."""
    line = [sys.executable, "-m", "syncsvc", "process", *words, "--publish", "tcp://127.0.0.1:0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            ready = process.stderr.readline()
            assert "ready results=tcp://127.0.0.1:" in ready, ready + process.stderr.read()
            yield process, ready.partition("results=")[2].split()[0]
        finally:
            process.kill()


@contextmanager
def listening(endpoint: str) -> Iterator["zmq.Socket[bytes]"]:
    """A subscriber whose subscription has come, as the answer to it shows."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.set(zmq.RCVTIMEO, WAIT_MS)
        socket.set(zmq.LINGER, 0)
        socket.connect(endpoint)
        for topic in (b"result/", b"status"):
            socket.subscribe(topic)
        assert decode_status(socket.recv_multipart()[1]).state == "running"
        yield socket


def results_of(socket: "zmq.Socket[bytes]") -> tuple[list[Result], str]:
    """All results up to the end, and how it ended."""
    found: list[Result] = []
    while True:
        parts = socket.recv_multipart()
        if parts[0] != b"status":
            found.append(decode_result(parts))
        elif (state := decode_status(parts[1]).state) != "running":
            return found, state


def paired(seq: int, south: int) -> Any:
    at, layout = T0 + seq * 1000 * MS, Layout("bgr24", 64, 48)
    frames = {
        name: [
            frame(name, seq * 2 + n, at + (n * 40 + late) * MS, layout, payload=bytes([value + n]) * layout.size_bytes)
            for n in range(2)
        ]
        for name, late, value in (("north", 0, 50), ("south", 2, south))
    }
    sets = [together(frames["north"][n], frames["south"][n], group=("north", "south")) for n in range(2)]
    return batch(seq, frames=frames, sets=sets)


def test_sets_go_through_a_function_in_order_though_a_worker_dies_and_the_function_raises(tmp_path: Path) -> None:
    given = ("--arg", "scale=2", "--arg", f"folder={tmp_path}", "--when-late", "wait", "--mode", "live")
    words = ("--per", "set", "--workers", "1", *given, "--count", "3", "--json")
    with LiveSocket() as live, processing(live.endpoint, f"{TASKS}:mean_of_set", *words) as (process, endpoint):
        with listening(endpoint) as socket:
            live.wait_for(b"batch/")
            live.send(paired(1, 200), paired(2, 0), paired(4, 100))
            found, state = results_of(socket)
        out, _ = process.communicate(timeout=60)
    assert state == "ended"
    assert [(one.seq, one.set_index, one.number) for one in found] == [
        (1, 0, 0), (1, 1, 1), (2, 0, 2), (2, 1, 3), (4, 0, 4), (4, 1, 5),
    ]  # fmt: skip
    assert [one.error for one in found if one.error] == ["ValueError: it is dark in the south"]
    assert [tuple(one) for one in found[1].frames] == [("north", 3, T0 + 1040 * MS), ("south", 3, T0 + 1042 * MS)]
    assert found[1].value["means"] == {"north": 102.0, "south": 402.0}
    assert (found[1].value["south"] == np.full((2, 64, 3), 201, np.uint8)).all()
    assert [one.value["has_previous"] for one in found if one.value] == [False, True, True, True, True]
    report = json.loads(out)
    assert process.returncode == 1, "the function raised"
    assert (report["taken"], report["published"], report["missed_batches"]) == (6, 6, 1)
    assert (report["errors"], report["workers_died"], report["retried"]) == ({"ValueError": 1}, 1, 1)
    assert 0 < report["copied_bytes_held"] <= 2 * 2 * 2 * 64 * 48 * 3 * 2, "two sets in flight, and those before them"


def test_frames_of_a_real_service_go_through_by_their_slots_and_a_subscriber_reads_what_came_of_them(
    tmp_path: Path,
) -> None:
    streams = {name: {"url": "synthetic:?fps=10&size=640x360"} for name in ("north", "south")}
    with (
        Service(tmp_path, streams, publish={"live": f"ipc://{tmp_path}/live"}) as service,
        processing(service.live, f"{TASKS}:barcode_of", "--workers", "2", "--json") as (process, endpoint),
    ):
        with Subscriber(endpoint, group="all", results=True, gaps="yield") as results:
            results.wait_ready(30)
            found = [results.receive(60) for _ in range(40)]
            assert isinstance(found[-1], Result)
            assert results.header["target"] == f"{TASKS}:barcode_of"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    report = json.loads(out)
    assert report["errors"] == {}
    assert report["taken"] == report["published"] + sum(report["dropped"].values()), "each frame has its account"
    assert report["published"] >= 40
    assert report["copied_bytes_held"] == 0, "frames were read where the captures wrote them"
    last: dict[str, int] = {}
    for one, number in zip(found, range(found[0].number, 10**9), strict=False):  # type: ignore[union-attr]  # see below
        assert isinstance(one, Result), one
        assert one.number == number
        (stream, seq, time_ns), (counter, time_us) = one.frames[0], one.value
        assert abs(time_ns - time_us * 1000) < 2 * MS
        assert (counter - seq) == last.setdefault(stream, counter - seq)
    assert set(last) == {"north", "south"}


def test_what_cannot_be_done_is_said_in_a_line() -> None:
    here = "tcp://127.0.0.1:1"
    for words, problem in (
        ((here, "no.module:f"), "target no.module:f: cannot be imported: ModuleNotFoundError"),
        ((here, "blur", "--arg", "x"), "--arg x: a name and a value are wanted"),
        ((here, "blur", "--publish", "tcp://10.0.0.1:5"), "--publish: found 'tcp://10.0.0.1:5', which is off"),
    ):
        line = [sys.executable, "-m", "syncsvc", "process", *words]
        found = subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)
        assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1), found.stderr
        assert problem in found.stderr


@pytest.mark.parametrize("state", ["drop", "wait"])
def test_a_pool_that_cannot_keep_up_drops_and_counts_or_takes_its_time(state: str) -> None:
    words = ("--workers", "1", "--when-late", state, "--mode", "live", "--arg", "value=1", "--count", "1", "--json")
    with LiveSocket() as live, processing(live.endpoint, f"{TASKS}:slowly", *words) as (process, _):
        live.wait_for(b"batch/")
        live.send(paired(1, 9))
        out, _ = process.communicate(timeout=60)
    report = json.loads(out)
    assert report["published"] + report["dropped"].get("late", 0) == report["taken"] == 4
    assert (report["dropped"] == {}) == (state == "wait")
