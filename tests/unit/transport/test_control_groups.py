"""What control groups leave of the memory, read from files as the kernel has them."""

from pathlib import Path

import pytest

from syncsvc.transport.control_groups import left_bytes

MIB = 2**20


def group(folder: Path, names: tuple[str, str, str], limit: str, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(names, (limit, str(used), f"anon 5\n{names[2]} {cached}\n"), strict=True):
        (folder / (name if name != names[2] else "memory.stat")).write_text(text)


V1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
V2 = "memory.max", "memory.current", "inactive_file"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/system.slice/syncsvc.service\n")
    group(tmp_path / "system.slice" / "syncsvc.service", V2, "max", 10 * MIB, 0)
    assert left_bytes(own, tmp_path) is None
    group(tmp_path / "system.slice", V2, str(100 * MIB), 70 * MIB, 20 * MIB)
    assert left_bytes(own, tmp_path) == 50 * MIB
    group(tmp_path / "system.slice" / "syncsvc.service", V2, str(30 * MIB), 10 * MIB, 5 * MIB)
    assert left_bytes(own, tmp_path) == 25 * MIB


def test_a_group_of_version_1_counts_too(tmp_path: Path, own: Path) -> None:
    own.write_text("9:name=systemd:/\n4:memory:/docker/abc\n0::/\n")
    group(tmp_path / "memory" / "docker" / "abc", V1, str(200 * MIB), 90 * MIB, 10 * MIB)
    assert left_bytes(own, tmp_path) == 120 * MIB


def test_in_a_container_the_mount_is_our_own_group(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/../../outside\n")
    group(tmp_path, V2, str(64 * MIB), 4 * MIB, 0)
    assert left_bytes(own, tmp_path) == 60 * MIB


def test_without_groups_nothing_is_limited(tmp_path: Path, own: Path) -> None:
    assert left_bytes(own, tmp_path) is None
    own.write_text("0::/\n")
    assert left_bytes(own, tmp_path) is None
