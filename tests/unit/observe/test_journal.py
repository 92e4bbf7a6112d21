"""The journal writes in order, waits for nobody, and says what a full or slow disk made it lose."""

import logging
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncsvc.errors import UsageError
from syncsvc.observe.journal import Journal, open_journal
from syncsvc.observe.log_reader import read
from syncsvc.observe.records import AnyRecord, LostRecords, RunRecord, SessionRecord

RUN = RunRecord(v=1, run_id="x", epoch=5, utc_ns=7, mono_ns=8, streams={}, groups={})


def session(number: int) -> SessionRecord:
    return SessionRecord(stream="north", mono_ns=number)


def found(path: Path) -> list[AnyRecord]:
    return [record for _, record in read(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.jsonl"


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    journal = open_journal(path)
    yield journal.fd
    journal.close()


def test_what_threads_put_is_written_in_their_order_and_at_the_end(path: Path, fd: int) -> None:
    with Journal(fd) as journal:
        journal.put(RUN)

        def put(first: int) -> None:
            for number in range(first, first + 500):
                journal.put(session(number))

        threads = [threading.Thread(target=put, args=(first,)) for first in (0, 1000, 2000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    numbers = [one.mono_ns for one in found(path) if isinstance(one, SessionRecord)]
    assert len(numbers) == 1500
    for first in (0, 1000, 2000):
        assert [n for n in numbers if first <= n < first + 1000] == list(range(first, first + 500))


def test_a_new_log_that_nothing_was_written_to_does_not_stay(path: Path) -> None:
    open_journal(path).close()
    assert not path.exists()
    path.touch()
    open_journal(path).close()
    assert path.exists(), "it was there before"
    path.unlink()
    journal = open_journal(path)
    path.rename(path.with_suffix(".old"))
    path.touch()
    journal.close()
    assert path.exists(), "it is another one by now"


def test_nobody_else_may_read_a_new_log(path: Path, fd: int) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_receiver_appends_also_after_one_that_was_killed_in_the_middle_of_a_line(path: Path, fd: int) -> None:
    first = Journal(fd)
    first.put(RUN)
    first.put(session(1))
    first.flush()
    os.truncate(path, path.stat().st_size - 5)
    again = os.open(path, os.O_RDWR | os.O_APPEND)  # the lock of the daemon is the receivers' too
    second = Journal(again)
    second.put(RUN)
    second.flush()
    os.close(again)
    assert found(path) == [RUN, RUN]


def test_a_log_that_a_service_writes_is_refused_to_another(path: Path, fd: int) -> None:
    with pytest.raises(UsageError, match="another service writes to it"):
        open_journal(path)


def test_what_waits_is_bounded_and_what_is_lost_is_told_in_its_place(path: Path, fd: int) -> None:
    journal = Journal(fd, most_pending_bytes=400)
    for record in (RUN, *map(session, range(20))):
        journal.put(record)
    journal.flush()
    journal.put(session(20))
    journal.flush()
    records = found(path)
    lost = next(one for one in records if isinstance(one, LostRecords))
    kept = [one for one in records if isinstance(one, SessionRecord)]
    assert kept[:-1] == list(map(session, range(len(kept) - 1)))
    assert records[-2:] == [lost, session(20)]
    assert lost.count + len(kept) == 21
    assert lost.count > 0


def test_a_loss_is_told_at_the_end_too(path: Path, fd: int) -> None:
    with Journal(fd, most_pending_bytes=150) as journal:
        for record in (RUN, *map(session, range(5))):
            journal.put(record)
    assert found(path)[-1] == LostRecords(count=4)


def test_a_full_disk_costs_records_that_are_counted_once_there_is_room(
    path: Path, fd: int, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(fd)
    journal.put(RUN)
    journal.flush()
    disk = os.dup(fd)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, fd)
    with caplog.at_level(logging.WARNING):
        for number in range(6):
            journal.put(session(number))
            journal.flush()
    os.dup2(disk, fd)
    journal.put(session(6))
    journal.flush()
    os.close(full)
    os.close(disk)
    assert found(path) == [RUN, LostRecords(count=6), session(6)]
    assert [record.getMessage() for record in caplog.records] == [
        "the observation log cannot be written: No space left on device"
    ], "once, not with every line"


def test_a_disk_that_fills_in_the_middle_of_a_line(path: Path) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    journal = Journal(writer)
    records = [RUN, *map(session, range(2000))]
    for record in records:
        journal.put(record)
    journal.flush()
    first = os.read(reader, 1 << 20)
    assert not first.endswith(b"\n")
    journal.put(session(2000))
    journal.flush()
    path.write_bytes(first + os.read(reader, 1 << 20))
    os.close(reader)
    os.close(writer)
    whole = first.count(b"\n")
    assert found(path) == [*records[:whole], LostRecords(count=len(records) - whole), session(2000)]


def test_what_cannot_take_a_log_is_refused_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "syncsvc.yaml"
    config.write_text("streams: {}\n")
    os.mkfifo(tmp_path / "fifo")
    for path, problem in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "seen", "No such file or directory"),
        (Path("/dev/null"), "no regular file"),
        (tmp_path / "fifo", "no regular file"),
        (config, "exists and is no observation log"),
    ):
        with pytest.raises(UsageError, match=problem):
            open_journal(path)
    assert config.read_text() == "streams: {}\n"
