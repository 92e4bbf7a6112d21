"""Files that grow together, or not at all."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncsvc.appending import GrowingFile, grow
from syncsvc.errors import DiskFull, NotRecorded


@pytest.fixture
def small_files() -> Iterator[int]:
    """No file may have more bytes: what a full disk is to one who writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield 4096
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_nothing_that_was_there_and_what_waits_is_written_later(
    tmp_path: Path, small_files: int
) -> None:
    one, other = GrowingFile(tmp_path / "tape" / "one"), GrowingFile(tmp_path / "tape" / "other")
    files = (one, other)
    one.add(b"first")
    grow(tmp_path / "tape", files)
    assert not other.path.exists(), "nothing is to be in it"
    one.add(b", second")
    other.add(b"x" * (small_files + 1))
    for _ in range(2):
        with pytest.raises(DiskFull, match="File too large"):
            grow(tmp_path / "tape", files)
        assert one.path.read_bytes() == b"first"
        assert other.path.read_bytes() == b""
    resource.setrlimit(resource.RLIMIT_FSIZE, (small_files + 1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    grow(tmp_path / "tape", files)
    assert one.path.read_bytes() == b"first, second"
    assert (one.size_bytes, other.size_bytes) == (13, small_files + 1)
    for file in files:
        file.close()


def test_a_folder_that_cannot_be_written_is_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "tape").write_text("a file")
    file = GrowingFile(tmp_path / "tape" / "one")
    file.add(b"first")
    with pytest.raises(NotRecorded) as caught:
        grow(tmp_path / "tape", [file])
    assert not isinstance(caught.value, DiskFull)
    assert "tape: cannot be written: File exists" in str(caught.value)
