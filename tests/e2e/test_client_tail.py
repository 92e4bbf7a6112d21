"""``syncsvc tail`` as a process of its own, as a user starts it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncsvc.cli.tail import LATE_LEGEND, LEGEND, batch_line
from syncsvc.model import Counts
from tests.batches import MS, T0, batch, frame, head_of, late_message, message_of, somebody_missing, together
from tests.e2e.livesocket import LiveSocket

TOPIC = b"head/lobby"
WAIT_S = 30


@pytest.fixture
def live() -> Iterator[LiveSocket]:
    with LiveSocket() as socket:
        yield socket


@contextmanager
def tail(*words: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "syncsvc", "tail", *words]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=buffered) as process:
        try:
            yield process
        finally:
            process.kill()


def result(process: "subprocess.Popen[str]") -> tuple[int, list[str], list[str]]:
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out.splitlines(), err.splitlines()


def paired(seq: int) -> Any:
    """Two sets, 3 and 9 ms wide; the east missing."""
    names = ("north", "south", "east")
    at = T0 + seq * 1000 * MS
    north = [frame("north", 1, at), frame("north", 2, at + 40 * MS), frame("north", 3, at + 80 * MS)]
    south = [frame("south", 1, at + 3 * MS), frame("south", 2, at + 49 * MS)]
    sets = [together(north[n], south[n], group=names) for n in range(2)]
    return batch(seq, frames={"north": north, "south": south, "east": []}, sets=sets, missing={"east": "stalled"})


def test_one_line_per_batch_and_per_gap(live: LiveSocket) -> None:
    with tail(live.endpoint, "--group", "lobby", "--count", "3") as process:
        live.wait_for(TOPIC)
        live.send(paired(1), batch(4), batch(5))
        code, out, err = result(process)
    assert (code, err, len(out)) == (0, [], 4)
    assert out[0].startswith("00:00:01.000Z  lobby #1  2 sets  north:3 south:2 east:0  spread 3.0/9.0 ms  age ")
    assert out[0].endswith(" ms  missing east:stalled")
    assert out[1] == "gap  lobby #2-#3  2 missed  windows 00:00:02.000Z to 00:00:03.000Z  lost"
    assert out[2].startswith("00:00:04.000Z  lobby #4  0 sets  north:1  age ")
    assert out[3].startswith("00:00:05.000Z  lobby #5  ")


def test_json_lines_are_the_headers(live: LiveSocket) -> None:
    sent = [message_of(paired(1)), message_of(batch(3)), somebody_missing()]
    with tail(live.endpoint, "--json", "--count", "3") as process:
        live.wait_for(b"head/")
        live.send(*map(head_of, sent))
        code, out, err = result(process)
    assert (code, err) == (0, ["gap  lobby #2-#2  1 missed  windows 00:00:02.000Z to 00:00:02.000Z  lost"])
    assert [json.loads(line) for line in out] == [msgspec.msgpack.decode(parts[1]) for parts in sent]


def test_late_frames_have_lines_of_their_own_and_do_not_count_as_batches(live: LiveSocket) -> None:
    one = late_message(frame("north", 40, T0 + 6990 * MS))
    with tail(live.endpoint, "--group", "lobby", "--late", "--count", "2") as process:
        live.wait_for(TOPIC)
        live.send(batch(7))
        live.wait_for(b"late/lobby")
        live.send(one, batch(8))
        code, out, err = result(process)
    assert (code, err, len(out)) == (0, [], 3)
    assert out[1] == (
        "late  lobby north #40  taken 00:00:06.990Z  came 60 ms later  window 00:00:06.000Z  counted in #8"
    )


def test_late_frames_in_json_say_so(live: LiveSocket) -> None:
    with tail(live.endpoint, "--late", "--json", "--count", "2") as process:
        live.wait_for(b"head/")
        live.send(batch(7))
        live.wait_for(b"late/")
        live.send(late_message(frame("north", 40, T0 + 6990 * MS)), batch(8))
        code, out, err = result(process)
    assert (code, err, len(out)) == (0, [], 3)
    assert [json.loads(line).get("late") for line in out] == [None, True, None]
    assert json.loads(out[1])["frames"][0][:2] == ["north", 40]


def test_a_batch_that_left_late_or_lacks_frames_says_so(live: LiveSocket) -> None:
    with tail(live.endpoint, "--count", "2") as process:
        live.wait_for(b"head/")
        lossy = {"north": Counts(1, 1, skipped=3)}
        live.send(replace(batch(7), late_ns=1593 * MS), batch(8, counts=lossy))
        code, out, err = result(process)
    assert (code, err, [" late 1593 ms" in line for line in out]) == (0, [], [True, False])
    assert [" skipped north:3" in line for line in out] == [False, True]


def test_each_line_leaves_at_once_and_the_end_of_the_service_ends_it(live: LiveSocket) -> None:
    with tail(live.endpoint, "--group", "lobby", "--json") as process:
        assert process.stdout is not None
        live.wait_for(TOPIC)
        live.send(batch(0))
        assert json.loads(process.stdout.readline())["seq"] == 0
        live.wait_for(b"status")
        live.send(batch(1))
        assert json.loads(process.stdout.readline())["seq"] == 1
        live.send_status("ended")
        assert result(process) == (0, [], [])


def test_ctrl_c_ends_it_without_a_word(live: LiveSocket) -> None:
    with tail(live.endpoint) as process:
        assert process.stdout is not None
        live.wait_for(b"head/")
        live.send(batch(0))
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert result(process) == (0, [], [])


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_reader_that_leaves_ends_it_without_a_word(live: LiveSocket, words: tuple[str, ...]) -> None:
    with tail(live.endpoint, *words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        live.wait_for(b"head/")
        live.send(batch(0))
        assert process.stdout.readline()
        process.stdout.close()
        live.send(batch(1))
        assert process.wait(WAIT_S) == 0
        assert process.stderr.read() == ""


def test_it_ends_after_so_many_seconds_whether_or_not_anything_comes(live: LiveSocket) -> None:
    with tail(live.endpoint, "--group", "lobby", "--seconds", "3") as process:
        assert process.stdout is not None
        live.wait_for(TOPIC)
        for seq in count():
            live.send(batch(seq))
            if not process.stdout.readline():
                break
        assert result(process) == (0, [], [])
    with tail(live.endpoint, "--group", "lobby", "--seconds", "0.1", "--timeout", "1e300") as process:
        assert result(process)[:2] == (0, [])


def test_a_timeout_is_said_in_one_line(live: LiveSocket) -> None:
    with tail(live.endpoint, "--timeout", "0.05") as process:
        assert result(process) == (1, [], [f"syncsvc: {live.endpoint}: no batch within 0.05 s"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "endpoint 'nowhere': allowed are tcp://HOST:PORT and ipc:///PATH"),
        (["tcp://127.0.0.1:1", "--group", "Lobby"], "group 'Lobby'"),
        (["tcp://127.0.0.1:1", "--count", "0"], "--count"),
        (["tcp://127.0.0.1:1", "--timeout", "0"], "--timeout"),
        (["tcp://127.0.0.1:1", "--seconds", "nan"], "--seconds"),
        (["--count"], "--count"),
    ],
)
def test_a_wrong_word_is_one_line_and_code_2(words: list[str], expected: str) -> None:
    with tail(*words) as process:
        code, out, err = result(process)
    assert (code, out, len(err)) == (2, [], 1)
    assert expected in err[0]


def test_help_has_an_example() -> None:
    with tail("--help") as process:
        code, out, err = result(process)
    assert (code, err) == (0, [])
    assert any("Example: syncsvc tail tcp://127.0.0.1:5555" in line for line in out)


def test_the_endpoint_may_be_the_configuration_of_the_service(live: LiveSocket, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        f"streams: {{a: {{url: 'rtsp://u:${{NOT_SET_PASSWORD}}@h/1'}}}}\npublish: {{live: '{live.endpoint}'}}\n"
    )
    with tail(str(path), "--count", "1") as process:
        live.wait_for(b"head/")
        live.send(batch(1))
        code, out, err = result(process)
    assert (code, err, len(out)) == (0, [], 1)


def test_a_window_that_the_end_cut_short_has_no_negative_age() -> None:
    cut = replace(batch(1), emitted_ns=T0 + 1300 * MS)
    assert cut.window_end_ns > cut.emitted_ns
    assert "  age 20 ms" in batch_line(cut, T0 + 1320 * MS)


def test_every_word_of_a_line_is_explained() -> None:
    for word in ("spread", "age", "late", "skipped", "missing"):
        assert f"{word}: " in "  ".join(LEGEND)


@pytest.mark.parametrize(("words", "legend"), [((), LEGEND), (("--late",), (*LEGEND, LATE_LEGEND))])
def test_on_a_terminal_the_words_are_explained_first(
    live: LiveSocket, words: tuple[str, ...], legend: tuple[str, ...]
) -> None:
    screen, theirs = os.openpty()
    command = [sys.executable, "-m", "syncsvc", "tail", live.endpoint, "--count", "1", *words]
    with subprocess.Popen(command, stdout=theirs) as process, open(screen, encoding="utf-8") as shown:
        os.close(theirs)
        live.wait_for(b"head/")
        live.send(batch(7))
        assert [shown.readline().rstrip() for _ in legend] == list(legend)
        assert "lobby #7" in shown.readline()
        assert process.wait(WAIT_S) == 0
