"""A WebDataset of a recording, read by the format's own library."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from syncsvc.errors import NotExported, RecordingBroken, UsageError
from syncsvc.export.export_tally import ExportTally
from syncsvc.export.recorded_sets import RecordedSets
from syncsvc.export.web_dataset import export_web_dataset
from syncsvc.model import Gap
from syncsvc.wire import GroupTerms
from tests.batches import MS
from tests.recordings import NAMES, MemoryRecording, grey_of, recording, time_of
from tests.unit.export.jpegs import jpeg_of, jpeg_recording

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The library leaves its files open."""


def export(ours: MemoryRecording, path: Path) -> tuple[list[Mapping[str, Any]], ExportTally]:
    tally = export_web_dataset(RecordedSets(ours, None), path, lambda _: None)
    return list(webdataset.WebDataset(str(path), shardshuffle=False).decode("rgb8")), tally


def test_each_set_is_a_sample_with_its_pictures_by_stream_and_its_times(tmp_path: Path) -> None:
    samples, tally = export(recording(6), tmp_path / "sets.tar")
    assert [one["__key__"] for one in samples] == [f"{seq:09}" for seq in range(30)]
    for seq, one in enumerate(samples):
        lost = {7: ["south"], 9: ["north"]}.get(seq, [])
        there = [name for name in NAMES if name not in lost]
        facts = one["json"]
        assert {name for name in one if name.endswith("jpg")} == {f"{name}.jpg" for name in there}
        assert (facts["set"], facts["missing"], facts["unshown"], facts["is_apart"]) == (seq, lost, {}, False)
        assert (facts["time_ns"], facts["spread_ns"]) == (time_of(seq) + (seq == 9) * MS, (2 - (seq == 9)) * MS)
        assert (facts["group"], facts["batch"]) == ("lobby", seq // 5 + 3)
        for name in there:
            told = facts["frames"][name]
            assert (told["time_ns"], told["seq"]) == (time_of(seq) + NAMES.index(name) * MS, seq)
            assert (told["clock"], told["uncertainty_ns"], told["arrival_ns"]) == (
                "rtcp",
                MS,
                told["time_ns"] + 60 * MS,
            )
            assert one[f"{name}.jpg"].shape == (told["height"], told["width"], 3) == (48, 64, 3)
        assert one["west.jpg"].mean() == pytest.approx((grey_of(seq % 15) - 16) * 255 / 219, abs=4)
    assert (tally.recorded, tally.sets, tally.incomplete, tally.left_out) == (30, 30, 2, {})
    assert {name: one.pictures for name, one in tally.streams.items()} == {"north": 29, "south": 29, "west": 30}


def test_a_jpeg_is_written_as_it_came_whatever_its_size_and_other_sizes_are_counted(tmp_path: Path) -> None:
    _, tally = export(jpeg_recording([(64, 48), (64, 48), (33, 24)]), tmp_path / "sets.tar")
    with tarfile.open(tmp_path / "sets.tar") as tar:
        for number, size in enumerate([(64, 48), (64, 48), (33, 24)]):
            member = tar.extractfile(f"{number:09}.north.jpg")
            assert member is not None
            data = member.read()
            assert data == jpeg_of(number, size, None)
            assert Image.open(io.BytesIO(data)).size == size
    assert {name: (one.size, one.other_sizes) for name, one in tally.streams.items()} == {
        "north": ((64, 48), 1), "south": ((64, 48), 1),
    }  # fmt: skip


def test_pictures_have_the_colours_that_they_had(tmp_path: Path) -> None:
    samples, _ = export(jpeg_recording([(64, 48)], colour=(200, 60, 30)), tmp_path / "sets.tar")
    assert np.array(samples[0]["north.jpg"]).mean(axis=(0, 1)) == pytest.approx([30, 60, 200], abs=3)


def test_what_cannot_be_shown_is_said_in_its_sample_and_counted(tmp_path: Path) -> None:
    ours = recording(6)
    del ours.segments[1].shown["west"][4:6]
    ours.segments[1].items = [Gap(6, 6, "lost", "lobby"), *ours.segments[1].items]
    samples, tally = export(ours, tmp_path / "sets.tar")
    unshown = {at: one["json"]["unshown"] for at, one in enumerate(samples) if one["json"]["unshown"]}
    assert unshown == {at: {"west": "not_recorded" if at < 21 else "no_key"} for at in range(19, 25)}
    assert [at for at, one in enumerate(samples) if one["json"]["is_apart"]] == [15]
    assert tally.streams["west"].unshown == {"not_recorded": 2, "no_key": 4}
    for segment in ours.segments:
        for name, some in segment.shown.items():
            segment.shown[name] = [one for one in some if one.seq != 12]  # type: ignore[index]
    _, tally = export(ours, tmp_path / "others.tar")
    assert (tally.sets, tally.left_out) == (29, {"no_picture": 1})


def test_a_file_that_cannot_be_read_to_its_end_costs_its_rest_and_is_told(tmp_path: Path) -> None:
    ours = recording(6)
    whole = ours.segments[0].pictures

    def broken(stream: str) -> Any:
        for number, one in enumerate(whole(stream)):
            if stream == "west" and number == 3:
                raise RecordingBroken("memory/west.mp4", "cannot be read beyond picture 3")
            yield one

    ours.segments[0].pictures = broken  # type: ignore[method-assign]
    sets = RecordedSets(ours, None)
    tally = export_web_dataset(sets, tmp_path / "sets.tar", lambda _: None)
    assert sets.problems == ["memory/west.mp4: cannot be read beyond picture 3"]
    assert (tally.streams["west"].pictures, tally.streams["west"].unshown) == (18, {"not_recorded": 12})
    ours.segments[0].is_finished = False
    sets = RecordedSets(ours, None)
    export_web_dataset(sets, tmp_path / "again.tar", lambda _: None)
    assert (sets.problems, sets.notes) == ([], ["memory/west.mp4: cannot be read beyond picture 3"])


def test_a_group_is_named_where_there_are_several_and_one_that_is_not_there_is_refused() -> None:
    ours = recording(2)
    ours.groups = {**ours.groups, "yard": GroupTerms(NAMES, 1000, 40.0, 500.0)}
    assert len(list(RecordedSets(ours, "lobby"))) == 10
    with pytest.raises(NotExported, match="group yard: there is no set in it"):
        RecordedSets(ours, "yard").counted()
    with pytest.raises(UsageError, match="memory: found several groups; --group is one of lobby, yard"):
        RecordedSets(ours, None)
    with pytest.raises(UsageError, match="memory: found no group 'attic'; --group is one of lobby, yard"):
        RecordedSets(ours, "attic")
