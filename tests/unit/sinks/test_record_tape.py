"""Which picture goes into which file, without a service: batches made by hand, files read again and held together."""

import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from syncsvc import wire
from syncsvc.client.decoder import Decoders
from syncsvc.clock import NS_PER_MS as MS
from syncsvc.errors import DiskFull
from syncsvc.layout import Codec, Layout
from syncsvc.model import Counts, Frame, Gap
from syncsvc.recording.contents import CheckedRecording
from syncsvc.recording.folder import FolderSegment
from syncsvc.recording.opening import FORMATS, SUFFIXES, FormatName, open_recording
from syncsvc.recording.verification import verify
from syncsvc.sinks.record.batch_feed import Fed
from syncsvc.sinks.record.tape import Fill, Tape, TapeTerms
from syncsvc.wire import GroupTerms
from tests.batches import T0, batch, frame, together
from tests.recordings import H264, HEIGHT, RAW, WIDTH, coded_pictures

NAMES = ("north", "south")
WINDOW_MS = 160
TERMS = {"lobby": GroupTerms(NAMES, WINDOW_MS, 40.0, 500.0)}


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> FormatName:
    """Whatever a recording lies in, the same goes into it."""
    return cast(FormatName, request.param)


def north(seq: int, layout: Layout = H264) -> Frame:
    """A camera's own picture; every fifth is a key frame."""
    data, is_key = coded_pictures(40)[seq]
    return frame("north", seq, T0 + 40 * seq * MS, layout, "rtcp", keyframe=is_key, payload=data)


def south(seq: int) -> Frame:
    """A raw picture."""
    return frame("south", seq, T0 + (40 * seq + 5) * MS, RAW, "rtcp", payload=bytes([seq]) * RAW.size_bytes)


def fed(number: int, frames: dict[str, list[Frame]], gaps: Sequence[Gap] = ()) -> Fed:
    """A batch of four frames of each stream, those of one moment together."""
    pairs = [
        [one for some in frames.values() for one in some if one.seq == seq]
        for seq in sorted({one.seq for some in frames.values() for one in some})
    ]
    sets = [together(*some, group=NAMES) for some in pairs if len(some) > 1]
    counts = {name: Counts(len(some), len(some)) for name, some in frames.items()}
    start_ns = T0 + number * WINDOW_MS * MS
    made = replace(
        batch(number, frames=frames, sets=sets, counts=counts),
        window_start_ns=start_ns, window_end_ns=start_ns + WINDOW_MS * MS,
    )  # fmt: skip
    header = wire.decode_header(wire.encode_batch(made, {}, {}, emitted_ns=made.emitted_ns))
    return Fed(made, header, {}, gaps)


def usual(number: int) -> Fed:
    seqs = range(4 * number, 4 * number + 4)
    return fed(number, {"north": [north(seq) for seq in seqs], "south": [south(seq) for seq in seqs]})


def record(folder: Path, feds: Sequence[Fed], **how: Any) -> Tape:
    tape = Tape(folder, TERMS, TapeTerms(**how))
    for one in feds:
        tape.put(one)
        tape.commit()
    tape.finish()
    return tape


def opened(folder: Path) -> CheckedRecording:
    return open_recording(str(folder))


def check(folder: Path) -> None:
    findings = verify(opened(folder))
    assert (findings.differences, findings.notes) == ([], [])


def seqs_of(folder: Path, stream: str) -> list[list[int]]:
    """The numbers of a stream's frames in each segment."""
    return [[one.seq for one in segment.times() if one.stream == stream] for segment in opened(folder).segments]


def test_nothing_is_lost_at_a_seam_and_each_file_begins_with_a_key_frame(tmp_path: Path, kind: FormatName) -> None:
    tape = record(tmp_path, [usual(number) for number in range(6)], segment_ns=2 * WINDOW_MS * MS, format=kind)
    check(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"00000{one}{SUFFIXES[kind]}" for one in (1, 2, 3)]
    assert seqs_of(tmp_path, "south") == [[*range(8)], [*range(8, 16)], [*range(16, 24)]]
    assert seqs_of(tmp_path, "north") == [[*range(10)], [*range(10, 20)], [*range(20, 24)]], "until the next key frame"
    assert tape.tally.segments == 3
    assert {name: one.unrecorded for name, one in tape.tally.streams.items()} == {name: {} for name in NAMES}
    for segment in opened(tmp_path).segments:
        assert next(segment.filmed("north")).is_key
        assert not isinstance(segment, FolderSegment) or segment.config.groups["lobby"].window_ms == WINDOW_MS


def test_a_later_recorder_goes_on_with_the_next_number(tmp_path: Path, kind: FormatName) -> None:
    record(tmp_path, [usual(0)], segment_ns=10**12, format=kind)
    (tmp_path / f"000002{SUFFIXES[kind]}.part").mkdir()
    record(tmp_path, [usual(1)], segment_ns=10**12, format=kind)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        f"000001{SUFFIXES[kind]}", f"000002{SUFFIXES[kind]}.part", f"000003{SUFFIXES[kind]}",
    ]  # fmt: skip


def test_a_change_of_size_begins_a_segment_and_costs_no_frame(tmp_path: Path, kind: FormatName) -> None:
    wide = Layout("encoded", 2 * WIDTH, HEIGHT, codec=Codec("h264"))
    changed = fed(1, {
        "north": [north(4), north(5, wide), north(6, wide), north(7, wide)],
        "south": [south(seq) for seq in range(4, 8)],
    })  # fmt: skip
    tape = record(tmp_path, [usual(0), changed], format=kind)
    assert seqs_of(tmp_path, "north") == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert seqs_of(tmp_path, "south") == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [Path(segment.place).name for segment in opened(tmp_path).segments] == (
        [tmp_path.name, "000001"] if kind == "mp4" else ["recording.mcap", "000001.mcap"]
    )
    assert tape.tally.streams["north"].frames == 8
    assert not (tmp_path / ".unfinished").exists()


def test_a_frame_that_travels_ahead_waits_for_those_before_it(tmp_path: Path, kind: FormatName) -> None:
    seqs = range(4)
    ahead = fed(0, {"north": [*(north(seq) for seq in seqs), north(5)], "south": [south(seq) for seq in seqs]})
    rest = fed(1, {"north": [north(4), north(6), north(7)], "south": [south(seq) for seq in range(4, 8)]})
    record(tmp_path, [ahead, rest], format=kind)
    check(tmp_path)
    assert seqs_of(tmp_path, "north") == [[*range(8)]]


def test_a_frame_ahead_of_one_that_never_comes_is_held_for_one_batch(tmp_path: Path, kind: FormatName) -> None:
    seqs = range(4)
    ahead = fed(0, {"north": [north(seq) for seq in seqs], "south": [*(south(seq) for seq in seqs), south(5)]})
    rest = fed(1, {"north": [north(seq) for seq in range(4, 8)], "south": [south(6), south(7)]})
    tape = Tape(tmp_path, TERMS, TapeTerms(format=kind))
    tape.put(ahead)
    tape.commit()
    assert seqs_of(tmp_path, "south") == [[*range(4)]]
    tape.put(rest)
    tape.commit()
    assert seqs_of(tmp_path, "south") == [[0, 1, 2, 3, 5, 6, 7]]
    tape.finish()
    check(tmp_path)


def test_late_frames_are_counted_and_in_no_file(tmp_path: Path, kind: FormatName) -> None:
    on_time = usual(0)
    counts = {name: replace(one, captured=one.captured + 2, late=2) for name, one in on_time.batch.counts.items()}
    made = replace(on_time.batch, counts=counts)
    header = wire.decode_header(wire.encode_batch(made, {}, {}, emitted_ns=0))
    tape = record(tmp_path, [Fed(made, header, {}, ())], format=kind)
    check(tmp_path)
    assert {name: (one.frames, one.late) for name, one in tape.tally.streams.items()} == dict.fromkeys(NAMES, (4, 2))


def test_of_sets_no_coded_picture_is_kept_that_refers_to_another_and_all_lie_in_one_file(
    tmp_path: Path, kind: FormatName
) -> None:
    """The camera's own would need the frames between, which are in no set."""
    decoders, feds = Decoders(), list[Fed]()
    for one in map(usual, range(3)):
        some = replace(one.batch, sets=one.batch.sets[::2])
        decoders.learn(some)
        feds.append(Fed(some, wire.decode_header(wire.encode_batch(some, {}, {}, emitted_ns=0)), {}, ()))
    tape = record(tmp_path, feds, of_sets=True, format=kind)
    check(tmp_path)
    assert tape.tally.segments == 1
    assert {name: one.frames for name, one in tape.tally.streams.items()} == dict.fromkeys(NAMES, 6)


def test_frames_before_the_first_key_frame_are_counted(tmp_path: Path, kind: FormatName) -> None:
    feds = [
        fed(n, {"north": [north(seq) for seq in range(4 * n + 2, 4 * n + 6)],
                "south": [south(seq) for seq in range(4 * n + 2, 4 * n + 6)]})
        for n in range(2)
    ]  # fmt: skip
    tape = record(tmp_path, feds, format=kind)
    check(tmp_path)
    assert dict(tape.tally.streams["north"].unrecorded) == {"no_key": 3}
    assert [one.frames.get("north") for one in opened(tmp_path).segments[0].sets()] == [None, None, None, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(("fill", "counts", "skipped"), [("skip", 6, 2), ("hold", 8, 0)])
def test_sets_have_a_picture_of_every_stream_or_are_left_out(
    tmp_path: Path, kind: FormatName, fill: Fill, counts: int, skipped: int
) -> None:
    """``south`` lacks two frames, for which sets the two others have theirs."""

    def one(number: int) -> Fed:
        seqs = range(4 * number, 4 * number + 4)
        frames = {name: [frame(name, seq, T0 + (40 * seq + at) * MS, RAW, "rtcp", payload=bytes(RAW.size_bytes))
                         for seq in seqs if name != "south" or seq not in (5, 6)]
                  for at, name in enumerate((*NAMES, "west"))}  # fmt: skip
        some = fed(number, frames)
        sets = [
            together(*[each for name in frames for each in frames[name] if each.seq == seq], group=(*NAMES, "west"))
            for seq in seqs
        ]  # fmt: skip
        made = replace(some.batch, sets=sets)
        return Fed(made, wire.decode_header(wire.encode_batch(made, {}, {}, emitted_ns=0)), {}, ())

    terms = {"lobby": GroupTerms((*NAMES, "west"), WINDOW_MS, 40.0, 500.0)}
    tape = Tape(tmp_path, terms, TapeTerms(of_sets=True, fill=fill, format=kind))
    for number in range(2):
        tape.put(one(number))
        tape.commit()
    tape.finish()
    check(tmp_path)
    assert {name: some.frames for name, some in tape.tally.streams.items()} == dict.fromkeys((*NAMES, "west"), counts)
    assert (tape.tally.sets, tape.tally.skipped_sets) == (counts, skipped)
    held = [one.seq for one in opened(tmp_path).segments[0].times() if one.clock == "held"]
    assert held == ([4, 4] if fill == "hold" else [])


def test_a_full_disk_costs_nothing_and_what_waits_is_written_later(tmp_path: Path, kind: FormatName) -> None:
    tape = Tape(tmp_path, TERMS, TapeTerms(format=kind))
    tape.put(usual(0))
    tape.commit()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(one.stat().st_size for one in tmp_path.iterdir()), before[1]))
    try:
        sizes = {one.name: one.stat().st_size for one in tmp_path.iterdir()}
        tape.put(usual(1))
        for _ in range(2):
            with pytest.raises(DiskFull):
                tape.commit()
            assert {one.name: one.stat().st_size for one in tmp_path.iterdir()} == sizes
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    tape.commit()
    tape.put(usual(2))
    tape.commit()
    tape.finish()
    check(tmp_path)
    assert seqs_of(tmp_path, "north") == seqs_of(tmp_path, "south") == [[*range(12)]]


def test_gaps_stand_between_the_batches_that_they_part(tmp_path: Path, kind: FormatName) -> None:
    gap = Gap(1, 1, "history", "lobby", T0 + WINDOW_MS * MS, T0 + WINDOW_MS * MS)
    seqs = range(10, 14)
    after = fed(2, {"north": [north(seq) for seq in seqs], "south": [south(seq) for seq in seqs]}, (gap,))
    tape = record(tmp_path, [usual(0), after], format=kind)
    check(tmp_path)
    assert (tape.tally.gaps, tape.tally.missed) == (1, 1)
    assert [one for one in opened(tmp_path).segments[0].batches() if isinstance(one, Gap)] == [gap]


def test_before_its_first_frame_a_recording_is_whole_and_has_nothing_to_play(tmp_path: Path, kind: FormatName) -> None:
    record(tmp_path, [fed(0, {"north": [], "south": []})], format=kind)
    assert not (tmp_path / "recording.yaml").exists()
    check(tmp_path)
