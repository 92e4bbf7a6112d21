"""Hard knocks from the machine: too few descriptors, too little memory, slow starts, many signals."""

import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from syncsvc import Subscriber
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.transport import leasing
from tests.e2e.harness import LIMIT_S, Service, patient, wait_for

FEW = 150
"""Open files: what a service of a few streams needs."""


def limited(soft: int, hard: int) -> list[str]:
    """A command that runs another with so few open files."""
    return ["sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" "$@"']


def streams(number: int) -> dict[str, Any]:
    return {f"c{one}": {"url": f"synthetic:?fps=10&size=160x120&seed={one}"} for one in range(1, number + 1)}


@pytest.mark.parametrize("command", ["run", "check"])
def test_more_streams_than_descriptors_are_refused_in_one_line(tmp_path: Path, command: str) -> None:
    service = Service(tmp_path, streams(30))
    words = [*limited(64, 128), sys.executable, "-m", "syncsvc", command, str(service.path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    [line] = done.stderr.splitlines()
    assert "streams: found 30 streams" in line
    assert "128 (RLIMIT_NOFILE)" in line


def test_a_limit_made_for_shells_is_raised_and_more_streams_than_the_host_allows_leave_the_service_as_it_was(
    tmp_path: Path,
) -> None:
    with (
        Service(tmp_path, streams(2), groups=patient("c1", "c2"), under=limited(32, FEW)) as service,
        service.subscribe(group="all") as batches,
    ):
        while not next(batches).sets:
            pass
        service.reload_in_vain("streams: found 30 streams", streams=streams(30))
        while not next(batches).sets:
            pass
        assert service.stop() == 0


HUGE = {"url": "synthetic:?fps=200&size=8192x8192", "max_pixels": 8192 * 8192}
MINUTE = {"window_ms": 60_000}
"""Together a ring of a terabyte."""


def test_a_camera_whose_ring_is_bigger_than_memory_costs_its_stream_alone(tmp_path: Path) -> None:
    with (
        Service(
            tmp_path,
            streams(2) | {"huge": HUGE},
            groups=patient("c1", "c2") | {"vast": {"streams": ["huge"], **MINUTE}},
        ) as service,
        service.subscribe(group="all") as batches,
    ):
        wait_for(lambda: "MiB wanted" in service.status()["streams"]["huge"]["problem"], "the refusal in the status")
        assert "stream huge is left out for now: ring of " in service.log
        while not next(batches).sets:
            pass
        service.reload(streams=streams(2) | {"huge": {"url": "synthetic:?fps=10&size=160x120"}})
        wait_for(lambda: service.status()["streams"]["huge"]["captured"], "its frames")
        wait_for(lambda: not service.status()["streams"]["huge"]["problem"], "the end of the problem")
        assert service.stop() == 0


def test_a_service_none_of_whose_rings_fits_is_refused(tmp_path: Path) -> None:
    with Service(
        tmp_path, {"one": HUGE, "other": HUGE}, groups={"all": {"streams": ["one", "other"], **MINUTE}}
    ) as service:
        assert service.process.wait(LIMIT_S) == 78
        assert "syncsvc: no stream has room: " in service.log
        assert "MiB wanted" in service.log.splitlines()[-1]
        assert "Traceback" not in service.log


def ready(folder: Path) -> Service:
    return Service(folder, streams(2), groups=patient("c1", "c2"))


def test_a_signal_to_the_whole_group_is_the_daemons_alone(tmp_path: Path) -> None:
    with ready(tmp_path) as service, service.follow() as history:
        history.read_until()
        pids = [service.status()["receiver"]["pid"], service.capture_pid("c1"), service.capture_pid("c2")]
        reloads = service.log.count("reloaded:")
        os.killpg(service.process.pid, signal.SIGHUP)
        wait_for(lambda: service.log.count("reloaded:") > reloads, "the reload")
        history.read_until(since_ns=SYSTEM_CLOCK.utc_ns())
        assert [service.status()["receiver"]["pid"], service.capture_pid("c1"), service.capture_pid("c2")] == pids
        os.killpg(service.process.pid, signal.SIGTERM)
        os.killpg(service.process.pid, signal.SIGTERM)
        history.read_until(lambda batch: set(batch.missing.values()) == {"draining"})
        assert service.process.wait(LIMIT_S) == 0
    history.check()
    assert not history.dropped("c1")
    assert "restarts" not in service.log


def test_hundreds_of_signals_are_one_reload_and_the_wish_to_stop_is_heard_among_them(tmp_path: Path) -> None:
    with ready(tmp_path) as service:
        service.process.send_signal(signal.SIGSTOP)
        for number in (*[signal.SIGHUP] * 400, signal.SIGCONT):
            service.process.send_signal(number)
        wait_for(lambda: "reloaded:" in service.log, "the reload")
        for number in [*[signal.SIGHUP] * 200, signal.SIGTERM, *[signal.SIGHUP] * 200]:
            service.process.send_signal(number)
        assert service.process.wait(LIMIT_S) == 0
        assert service.log.count("reloaded:") == 1


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    """A pipe that is full before it is written to: not even the line that says `ready` has room."""
    publish = {"live": f"ipc://{tmp_path}/live", "control": f"ipc://{tmp_path}/control"}
    service = Service(tmp_path, streams(2), groups=patient("c1", "c2"), publish=publish)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4096)
    words = [sys.executable, "-m", "syncsvc", "run", str(service.path)]
    with subprocess.Popen(words, stderr=writer) as daemon:
        with Subscriber(publish["live"], group="all") as batches:
            batches.wait_ready(LIMIT_S)
            while not next(batches).sets:
                pass
            daemon.send_signal(signal.SIGHUP)
            next(batches)
            daemon.send_signal(signal.SIGTERM)
            while set(next(batches).missing.values()) != {"draining"}:
                pass
        assert daemon.wait(LIMIT_S) == 0
    assert os.read(reader, 8192) == b"x" * 4096
    for end in (reader, writer):
        os.close(end)


def take_terminal() -> None:
    """Be the leader of a session with the terminal that is our standard input, also where tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize("under", [[], ["nohup"]], ids=["is the end", "is none under nohup"])
def test_a_terminal_that_hangs_up(tmp_path: Path, under: list[str]) -> None:
    service = Service(tmp_path, streams(2), groups=patient("c1", "c2"), under=under)
    ours, theirs = os.openpty()
    service.started_with = {"stdin": theirs, "preexec_fn": take_terminal}
    with service, service.subscribe(group="all") as batches:
        os.close(theirs)
        next(batches)
        os.close(ours)
        if under:
            wait_for(lambda: "reloaded:" in service.log, "the reload")
            next(batches)
            service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(LIMIT_S) == 0
        assert "draining" in service.log


def test_sockets_on_the_disk_go_with_a_clean_end_and_are_taken_over_from_a_dead_owner(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    publish = {"live": f"ipc://{folder}/live", "control": f"ipc://{folder}/control"}

    def service() -> Service:
        return Service(tmp_path, streams(2), groups=patient("c1", "c2"), publish=publish)

    with service() as killed:
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        os.killpg(killed.process.pid, signal.SIGKILL)
    assert len(list(folder.iterdir())) == 2
    with service() as successor, successor.subscribe(group="all") as batches:
        while not next(batches).sets:
            pass
        successor.kill_receiver()
        while not next(batches).sets:
            pass
        assert successor.stop() == 0
    assert not list(folder.iterdir())


def test_a_service_that_cannot_bind_leaves_no_socket_on_the_disk_and_takes_nobody_elses(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    (folder / "control").write_text("mine")
    publish = {"live": f"ipc://{folder}/live", "control": f"ipc://{folder}/control"}
    service = Service(tmp_path, streams(2), publish=publish)
    done = subprocess.run([sys.executable, "-m", "syncsvc", "run", str(service.path)], capture_output=True, check=False)
    assert done.returncode == 78
    assert b"control: is already in use" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["control"]
    assert (folder / "control").read_text() == "mine"


def test_a_stranger_at_the_local_socket_is_counted_and_keeps_nobody_out(tmp_path: Path) -> None:
    stop, told = StopToken(), re.compile(r"warning receiver: ([\d,]+) more lines in a second, .* sent nonsense")

    def pester(_: StopToken) -> None:
        while not stop.is_set:
            with suppress(OSError), leasing.connect(service.live) as stranger:
                stranger.send(b"\xc1")
                stranger.recv(100)

    with ready(tmp_path) as service:
        with Worker("stranger", pester):
            wait_for(lambda: told.search(service.log), "the number of lines")
            with service.subscribe(group="all", mode="local") as batches:
                while not next(batches).sets:
                    pass
            stop.set()
        assert service.stop() == 0
