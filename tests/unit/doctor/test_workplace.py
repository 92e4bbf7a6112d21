"""Where a doctor works: a folder of its own, none that a killed one left, and nobody else's touched."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from syncsvc.config.urls import MAX_IPC_BYTES
from syncsvc.doctor.own_daemon import CONTROL, LIVE
from syncsvc.doctor.workplace import LONGEST_NAME, PREFIX, workplace
from syncsvc.errors import UsageError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_doctor_left_is_removed_and_what_a_living_one_holds_stays(root: Path) -> None:
    left = root / f"{PREFIX}left"
    (left / "deep").mkdir(parents=True)
    (left / "observations.jsonl").write_text("x")
    (root / f"{PREFIX}file").write_text("x")
    (root / "elsewhere").mkdir()
    (root / f"{PREFIX}link").symlink_to(root / "elsewhere")
    with workplace() as first:
        assert not left.exists()
        assert (root / f"{PREFIX}file").exists()
        assert (root / "elsewhere").exists()
        with workplace() as second:
            assert first.is_dir()
            assert second.is_dir()
            assert first != second
        assert first.is_dir()
        assert not second.exists()
    assert not first.exists()


def test_a_folder_of_another_user_is_left_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = root / f"{PREFIX}left"
    left.mkdir()
    uid = os.getuid()
    answers = iter([uid + 1, uid])
    monkeypatch.setattr(os, "getuid", lambda: next(answers))
    with workplace():
        assert left.is_dir()


def test_a_folder_that_is_swept_as_it_is_made_is_made_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdtemp, made = tempfile.mkdtemp, []

    def swept_once(prefix: str, dir: Path) -> str:
        folder = mkdtemp(prefix=prefix, dir=dir)
        made.append(folder)
        if len(made) == 1:
            os.rmdir(folder)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", swept_once)
    with workplace() as folder:
        assert [str(folder)] == made[1:]
        lock = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)


def test_a_tmpdir_that_is_too_long_for_sockets_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = root / ("d" * MAX_IPC_BYTES)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with (
        pytest.raises(UsageError, match=r"^TMPDIR: .* is too long for the names of sockets in it: at most 75 bytes$"),
        workplace(),
    ):
        pass
    assert list(deep.iterdir()) == []
    assert max((LIVE, CONTROL), key=len) == LONGEST_NAME


def test_a_tmpdir_that_takes_no_folder_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/none")
    with pytest.raises(UsageError, match=r"^TMPDIR: there can be no folder in /none: No such file"), workplace():
        pass
