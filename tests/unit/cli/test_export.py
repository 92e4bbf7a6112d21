"""``syncsvc export``: what it prints, what it leaves, and its exit codes."""

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from syncsvc.cli import main
from tests.lerobot_reader import read
from tests.recordings import MemoryRecording, recording, write_segments


def export(*words: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_segments(tmp_path / "tuesday", recording())
    return tmp_path / "tuesday"


def test_a_folder_becomes_a_lerobot_data_set_and_says_how_much_of_it(folder: Path) -> None:
    place = folder.with_name("set")
    done = export(folder, "--lerobot", place, "--task", "look")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "north: 18 pictures of 64x48",
        "south: 18 pictures of 64x48",
        "west: 18 pictures of 64x48",
        "group lobby: 18 of 20 sets in 3 episodes; 25 a second, they came 25.00 times; left out: 2 incomplete; "
        f"{place}",
    ]
    assert len(read(place).rows) == 18


def test_without_a_place_the_data_set_lies_beside_the_recording_and_json_has_all_numbers(folder: Path) -> None:
    told = json.loads(export(folder, "--webdataset", "--json").stdout)
    assert told["place"] == f"{folder}.tar"
    assert (told["sets"], told["recorded"], told["incomplete"], told["left_out"]) == (20, 20, 2, {})
    assert told["streams"]["west"] == {"pictures": 20, "size": [64, 48], "other_sizes": 0, "unshown": {}}
    assert sorted(one.name for one in folder.parent.iterdir()) == ["tuesday", "tuesday.tar"]
    refused = export(folder, "--webdataset")
    assert (refused.exit_code, f"{folder}.tar: found a file" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["."], "which format? One of --lerobot DIR and --webdataset FILE"),
        ([".", "--lerobot", "a", "--webdataset", "b"], "which format?"),
        ([".", "--webdataset", "b", "--fps", "5"], "--fps means nothing to --webdataset"),
        (["nothing-there", "--webdataset", "b"], "nothing-there: found nothing; allowed: a folder that"),
        (["{folder}", "--webdataset", "b", "--group", "attic"], "found no group 'attic'; --group is one of lobby"),
        (["{folder}", "--webdataset", "{folder}"], "tuesday: found a folder; allowed: what is not there yet"),
        (["{folder}", "--lerobot", "{folder}/no/set"], "found no folder"),
        (["{folder}", "--lerobot", "{folder}/set", "--fps", "30"], "--fps 30: the sets come 25.00 times a second"),
    ],
)
def test_what_cannot_be_done_gets_one_line_and_exit_code_2(folder: Path, words: list[str], said: str) -> None:
    before = sorted(folder.rglob("*"))
    refused = export(*(word.format(folder=folder) for word in words))
    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 1
    assert said in refused.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.fixture
def full_disk(folder: Path) -> Iterator[Path]:
    """No file may be longer than this, as a full disk has it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("option", ["--lerobot", "--webdataset"])
def test_a_full_disk_gets_one_line_and_nothing_is_left(full_disk: Path, option: str) -> None:
    failed = export(full_disk, option, full_disk.with_name("set"))
    assert failed.exit_code == 1, failed.output
    assert failed.stderr.splitlines() == [
        f"syncsvc: {full_disk.with_name('set')}: cannot be written: the disk is full; nothing is left of it"
    ]
    assert [one.name for one in full_disk.parent.iterdir()] == ["tuesday"]


def test_a_recording_without_a_set_fails_with_one_line(tmp_path: Path) -> None:
    ours: MemoryRecording = recording(2)
    for segment in ours.segments:
        for one in segment.items:
            object.__setattr__(one.batch, "sets", [])  # type: ignore[union-attr]
    write_segments(tmp_path / "alone", ours)
    failed = export(tmp_path / "alone", "--lerobot")
    assert failed.exit_code == 1
    assert failed.stderr.splitlines() == [f"syncsvc: {tmp_path}/alone: group lobby: there is no set in it"]
    assert [one.name for one in tmp_path.iterdir()] == ["alone"]


def test_a_film_that_cannot_be_read_to_its_end_costs_its_rest_and_exit_code_1(folder: Path) -> None:
    film = folder / "000001" / "west.mp4"
    film.write_bytes(film.read_bytes()[:900])
    failed = export(folder, "--webdataset")
    assert failed.exit_code == 1
    assert str(film) in failed.stderr
    assert "group lobby: 20 of 20 sets" in failed.stdout
    assert "cannot be shown" in failed.stdout
