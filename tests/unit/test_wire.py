"""The wire: what is sent, what comes back, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from syncsvc import wire
from syncsvc.errors import FrameWithoutPixels, WireError
from syncsvc.layout import Codec, Layout
from syncsvc.model import Counts, Frame
from tests.batches import MS, T0, TINY, VECTORS, batch, frame, late_message, message_of, together, vector_bytes

DOCS = Path(__file__).parents[2] / "docs"
FIELDS = [
    "v",
    "group",
    "run_id",
    "epoch",
    "seq",
    "late_ns",
    "window",
    "emitted_ns",
    "complete",
    "missing",
    "streams",
    "counts",
    "frames",
    "sets",
]
ADDED = {"late_ns"}
"""A service of before does not say them: then they are what they are by default."""


class Untouchable:
    """Stands for pixels in a leased slot: whoever looks fails."""

    def __buffer__(self, flags: int) -> memoryview:
        raise AssertionError("the payload was touched")

    def __len__(self) -> int:
        raise AssertionError("the payload was touched")


def pair(**options: Any) -> list[Any]:
    """A message of two streams, two frames each, two sets."""
    north = [frame("north", 1, T0 + 10 * MS, keyframe=True), frame("north", 2, T0 + 50 * MS)]
    south = [frame("south", 8, T0 + 11 * MS), frame("south", 9, T0 + 53 * MS)]
    names = ("north", "south")
    sets = [together(north[0], south[0], group=names), together(north[1], south[1], group=names)]
    return message_of(batch(4, frames={"north": north, "south": south}, sets=sets, **options))


def header_of(parts: list[Any]) -> dict[str, Any]:
    header: dict[str, Any] = msgspec.msgpack.decode(parts[1])
    return header


@pytest.mark.parametrize("name", VECTORS)
def test_the_bytes_are_those_of_the_published_vector(name: str) -> None:
    assert vector_bytes(VECTORS[name]()) == (DOCS / "vectors" / f"{name}.bin").read_bytes()


def test_the_header_has_the_fields_of_the_specification_in_its_order() -> None:
    assert list(header_of(pair())) == FIELDS
    text = (DOCS / "protocol.md").read_text()
    assert [field for field in FIELDS if f"| `{field}` |" not in text] == []


@pytest.mark.parametrize("field", sorted(ADDED))
def test_what_a_service_of_before_does_not_say_is_not_asked_for(field: str) -> None:
    parts = pair()
    header = header_of(parts)
    del header[field]
    assert wire.decode_batch([parts[0], msgspec.msgpack.encode(header), *parts[2:]]).late_ns == 0


def test_the_first_batch_of_an_epoch_says_since_when_nothing_was_emitted_and_others_say_nothing_of_it() -> None:
    told = header_of(message_of(batch(), since_ns=T0 - 1))
    assert list(told) == [*FIELDS[:6], "since_ns", *FIELDS[6:]]
    assert told["since_ns"] == T0 - 1
    assert "| `since_ns` |" in (DOCS / "protocol.md").read_text()
    assert "since_ns" not in header_of(message_of(batch(1)))


def test_a_coded_picture_says_by_how_much_it_is_to_be_turned_and_one_that_stands_says_nothing() -> None:
    lying, standing = Layout("jpeg", 4, 2, "full", rotation=90), Layout("jpeg", 4, 2, "full")
    frames = [
        frame("north", number, T0 + number * MS, look, payload=b"coded")
        for number, look in enumerate((lying, standing, lying))
    ]
    parts = message_of(batch(frames={"north": frames}))
    told = header_of(parts)["streams"]["north"]
    assert told["rotation"] == 90
    assert ["rotation" in look for _, look in told["changes"]] == [False, True]
    assert [one.layout.rotation for one in wire.decode_batch(parts).frames["north"]] == [90, 0, 90]
    assert "rotation" not in header_of(pair())["streams"]["north"]
    assert "| `rotation` |" in (DOCS / "protocol.md").read_text()


@pytest.mark.parametrize("rotation", [45, -90, 360, "90"])
def test_a_rotation_that_is_none_is_refused(rotation: object) -> None:
    parts = pair()
    header = header_of(parts)
    header["streams"]["north"]["rotation"] = rotation
    with pytest.raises(WireError, match="rotation"):
        wire.decode_batch([parts[0], msgspec.msgpack.encode(header), *parts[2:]])


def test_topics() -> None:
    assert (wire.batch_topic("lobby"), wire.late_topic("lobby"), wire.STATUS_TOPIC) == (
        b"batch/lobby",
        b"late/lobby",
        b"status",
    )


def test_encoding_does_not_touch_payloads() -> None:
    untouchable = frame("north", 1, payload=Untouchable())
    header = wire.encode_batch(batch(frames={"north": [untouchable]}), {}, {}, emitted_ns=T0)
    assert wire.decode_header(header)["frames"][0][1] == 1
    assert late_message(untouchable)[2] is untouchable.payload


def test_emitted_ns_is_the_moment_of_sending() -> None:
    assert wire.decode_header(wire.encode_batch(batch(), {}, {}, emitted_ns=123))["emitted_ns"] == 123


def test_a_batch_comes_back_as_it_was() -> None:
    parts = pair(missing={}, counts={"north": Counts(5, 2, 1, {"ring_full": 2}), "south": Counts(2, 2)})
    got = wire.decode_batch(parts)
    assert (got.group, got.run_id, got.epoch, got.seq) == ("lobby", "run-1", 1_767_225_590_000, 4)
    assert (got.window_start_ns, got.window_end_ns) == (T0 + 4000 * MS, T0 + 5000 * MS)
    assert got.complete
    assert list(got.frames) == ["north", "south"]
    assert [one.seq for one in got.frames["south"]] == [8, 9]
    assert [one.keyframe for one in got.frames["north"]] == [True, False]
    first = got.frames["north"][0]
    assert (first.stream, first.time_ns, first.uncertainty_ns, first.clock) == ("north", T0 + 10 * MS, 1 * MS, "pts")
    assert (first.arrival_ns, first.layout) == (T0 + 70 * MS, TINY)
    assert [one.spread_ns for one in got.sets] == [1 * MS, 3 * MS]
    assert got.sets[1].frames["south"] is got.frames["south"][1]
    assert got.counts["north"] == Counts(5, 2, 1, {"ring_full": 2})


def test_the_messages_counts_are_the_sum_of_its_streams() -> None:
    south = Counts(4, 2, 0, {"ring_full": 1, "decode_error": 1}, skipped=6)
    counts = {"north": Counts(5, 2, 1, {"ring_full": 2}, skipped=1), "south": south}
    assert header_of(pair(counts=counts))["counts"] == {
        "captured": 9,
        "delivered": 4,
        "late": 1,
        "dropped": {"ring_full": 3, "decode_error": 1},
        "skipped": 7,
    }
    assert wire.decode_batch(pair(counts=counts)).counts == counts


def test_a_service_of_before_says_nothing_of_frames_that_never_came() -> None:
    parts = pair()
    header = header_of(parts)
    for counts in (header["counts"], *(stream["counts"] for stream in header["streams"].values())):
        del counts["skipped"]
    got = wire.decode_batch([parts[0], msgspec.msgpack.encode(header), *parts[2:]])
    assert {counts.skipped for counts in got.counts.values()} == {0}


def test_payloads_are_read_only_views_without_a_copy() -> None:
    parts = message_of(batch())
    memory = bytearray(parts[2])
    parts[2] = memory
    got = wire.decode_batch(parts).frames["north"][0]
    memory[0] ^= 0xFF
    assert got.pixels[0] == memory[0]
    assert got.payload.readonly
    with pytest.raises(ValueError, match="read-only"):
        got.pixels[0] = 0


def test_parts_may_come_in_any_order() -> None:
    parts = pair()
    header = header_of(parts)
    for row, part in zip(header["frames"], (3, 1, 2, 0), strict=True):
        row[6] = part
    shuffled = [parts[0], msgspec.msgpack.encode(header), parts[5], parts[3], parts[4], parts[2]]
    for got, sent in zip(_frames(wire.decode_batch(shuffled)), _frames(wire.decode_batch(parts)), strict=True):
        assert bytes(got.payload) == bytes(sent.payload)


def test_rows_of_streams_may_be_mixed() -> None:
    parts = pair()
    header = header_of(parts)
    header["frames"] = [header["frames"][index] for index in (0, 2, 1, 3)]
    header["sets"] = [[1 * MS, [0, 1]], [3 * MS, [2, 3]]]
    got, sent = wire.decode_batch([parts[0], msgspec.msgpack.encode(header), *parts[2:]]), wire.decode_batch(parts)
    assert [(one.stream, one.seq) for one in _frames(got)] == [(one.stream, one.seq) for one in _frames(sent)]
    assert [bytes(one.payload) for one in _frames(got)] == [bytes(one.payload) for one in _frames(sent)]
    assert got.sets[1].frames == {"north": got.frames["north"][1], "south": got.frames["south"][1]}


def _frames(one: Any) -> list[Frame]:
    return [each for found in one.frames.values() for each in found]


def test_streams_without_frames_keep_what_is_known_of_them() -> None:
    one = batch(frames={"north": [], "south": []}, missing={"north": "stalled", "south": "starting"})
    header = header_of(message_of(one, {"north": Layout("i420", 64, 48, "full", "bt709")}, {"north": "rtcp"}))
    look = {key: header["streams"]["north"][key] for key in ("format", "width", "height", "range", "matrix", "clock")}
    assert list(look.values()) == ["i420", 64, 48, "full", "bt709", "rtcp"]
    assert set(header["streams"]["south"]) == {*look, "counts"}
    assert [header["streams"]["south"][key] for key in look] == [None] * 6
    got = wire.decode_batch(message_of(one))
    assert (got.missing, got.complete) == ({"north": "stalled", "south": "starting"}, False)
    assert got.frames == {"north": [], "south": []}


def test_a_change_of_size_and_clock_inside_a_window_reaches_the_right_frames() -> None:
    small, big = Layout("gray8", 2, 2), Layout("bgr24", 6, 4, "full", "bt709")
    frames = [
        frame("north", 1, T0, small),
        frame("north", 2, T0 + 1, big, "rtcp"),
        frame("north", 3, T0 + 2, big, "rtcp"),
    ]
    got = wire.decode_batch(message_of(batch(frames={"north": frames})))
    assert [(one.layout, one.clock) for one in got.frames["north"]] == [(small, "pts"), (big, "rtcp"), (big, "rtcp")]
    assert "changes" not in header_of(message_of(batch(frames={"north": frames[1:]})))["streams"]["north"]


def test_a_late_frame_is_a_message_of_one() -> None:
    parts = late_message(frame("north", 40, T0, Layout("bgr24", 2, 1)), seq=8)
    assert list(header_of(parts)) == FIELDS
    assert header_of(parts)["counts"] == {"captured": 1, "delivered": 0, "late": 1, "dropped": {}, "skipped": 0}
    got = wire.decode_late(parts)
    assert (got.group, got.seq, got.epoch) == ("lobby", 8, 1_767_225_590_000)
    assert (got.window_start_ns, got.window_end_ns) == (T0 + 6000 * MS, T0 + 7000 * MS)
    assert (got.frame.stream, got.frame.seq, got.frame.pixels.size) == ("north", 40, 6)
    several = pair()
    several[0] = wire.late_topic("lobby")
    with pytest.raises(WireError, match="4 late frames"):
        wire.decode_late(several)
    with pytest.raises(WireError, match="topic"):
        wire.decode_batch(parts)


def test_a_header_alone_brings_the_batch_without_payloads() -> None:
    parts = pair()
    got, whole = wire.decode_head([wire.head_topic("lobby"), parts[1]]), wire.decode_batch(parts)
    assert [one.spread_ns for one in got.sets] == [one.spread_ns for one in whole.sets]
    assert [one.time_ns for one in _frames(got)] == [one.time_ns for one in _frames(whole)]
    for look in (lambda one: one.pixels, lambda one: one.to_bgr(), np.asarray):
        with pytest.raises(FrameWithoutPixels, match="payload=None"):
            look(_frames(got)[0])
    for wrong in ([wire.head_topic("lobby"), *parts[1:]], parts[:2]):
        with pytest.raises(WireError, match="message"):
            wire.decode_head(wrong)


NO_BATCHES = {"status-ended", "late-frame", "lossless-resumed", "lossless-gap"}


@pytest.mark.parametrize("name", sorted(set(VECTORS) - NO_BATCHES))
def test_a_header_comes_back_from_a_line_of_json_with_what_it_says_of_streams_without_a_frame(name: str) -> None:
    parts = VECTORS[name]()
    line = msgspec.json.encode(wire.decode_header(parts[1]))
    ours, layouts, clocks = wire.decode_line(line)
    theirs = wire.decode_head([wire.head_topic(ours.group), parts[1]])
    assert repr(ours) == repr(theirs)
    for stream, frames in theirs.frames.items():
        assert [one.layout for one in ours.frames[stream]] == [one.layout for one in frames]
        told = wire.decode_header(parts[1])["streams"][stream]
        assert clocks.get(stream) == told["clock"]
        assert (layouts[stream].format if stream in layouts else None) == told["format"]


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b"\xff", b'{"v": 2}'])
def test_a_line_that_is_no_header_is_refused(line: bytes) -> None:
    with pytest.raises(WireError, match="header: "):
        wire.decode_line(line)


def test_frames_that_go_back_in_time_are_refused() -> None:
    parts = pair()
    header = header_of(parts) | {"sets": []}
    header["frames"][1][2] = T0 + 10 * MS  # the same moment as the frame before: allowed
    parts[1] = msgspec.msgpack.encode(header)
    assert len(wire.decode_batch(parts).frames["north"]) == 2
    header["frames"][1][2] -= 1
    parts[1] = msgspec.msgpack.encode(header)
    with pytest.raises(WireError, match="goes back"):
        wire.decode_batch(parts)


@pytest.mark.parametrize("name", ["lobby\n", "", "Lobby", "a.b", "é"])
def test_names_follow_the_rule(name: str) -> None:
    header = header_of(pair())
    streams = {name: header["streams"]["north"]}
    for lie in ({"group": name}, {"streams": streams}, {"missing": {name: "stalled"}}):
        with pytest.raises(WireError, match="matching regex"):
            wire.decode_header(msgspec.msgpack.encode(header | lie))


def test_unknown_keys_are_ignored_and_not_shown() -> None:
    parts = pair()
    header = header_of(parts) | {"later": {"x": [1, 2.5, None, b"raw"]}}
    header["streams"]["north"]["lens"] = {"name": "wide"}
    parts[1] = msgspec.msgpack.encode(header)
    assert wire.decode_batch(parts).seq == 4
    assert list(wire.decode_header(parts[1])) == FIELDS


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        place: Any = header
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    change.__name__ = f"{'.'.join(map(str, path))}={to!r:.20}"
    return change


def _without(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        place: Any = header
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    change.__name__ = f"without {'.'.join(map(str, path))}"
    return change


LOOK = {"format": "gray8", "width": 4, "height": 2, "range": "full", "matrix": "bt601", "clock": "pts"}
LIES = [
    _set("v", to=2),
    _set("v", to=True),
    _set("group", to="Lobby"),
    _set("group", to="lobby\n"),
    _set("group", to="x" * 65),
    _set("group", to="other"),
    _set("run_id", to=""),
    _set("epoch", to=-1),
    _set("epoch", to=1.0),
    _set("seq", to=2**63),
    _set("seq", to="4"),
    _set("window", to=[T0]),
    _set("window", to=[T0 + 1, T0]),
    _set("window", 1, to=2**63),
    _set("emitted_ns", to=None),
    _set("complete", to=False),
    _set("complete", to=1),
    _set("missing", to={"north": "asleep"}),
    _set("missing", to={"north": "stalled"}),
    _set("streams", "north", "format", to="rgb24"),
    _set("streams", "north", "format", to=None),
    _set("streams", "north", "width", to=0),
    _set("streams", "north", "width", to=65_536),
    _set("streams", "north", "height", to=-2),
    _set("streams", "north", "width", to=5),
    _set("streams", "north", "range", to="wide"),
    _set("streams", "north", "matrix", to="bt470"),
    _set("streams", "north", "clock", to="sundial"),
    _set("streams", "north", "clock", to=None),
    _set("streams", "north", "codec", to={"name": "h264", "extradata": b""}),
    _set("streams", "north", "changes", to=[[1, LOOK | {"codec": {"name": "h264", "extradata": b""}}]]),
    _set("streams", "north", "changes", to=[[1, LOOK | {"format": "encoded"}]]),
    _set("streams", "north", "counts", "late", to=-1),
    _set("streams", "north", "counts", "dropped", to={"": 1}),
    _set("streams", "north", "counts", "dropped", to={"ring_full": 0.5}),
    _without("streams", "north", "counts"),
    _set("streams", "north", "changes", to=[[2, LOOK]]),
    _set("streams", "north", "changes", to=[[99, LOOK]]),
    _set("streams", "north", "changes", to=[[1, LOOK], [1, LOOK]]),
    _set("streams", "north", "changes", to=[[1, LOOK | {"width": 8}]]),
    _without("streams", "south"),
    _set("counts", to={"north": {}}),
    _set("frames", 0, 0, to="east"),
    _set("frames", 0, 1, to=-1),
    _set("frames", 1, 1, to=1),
    _set("frames", 1, 2, to=T0),
    _set("frames", 0, 2, to=2**63),
    _set("frames", 0, 2, to=-(2**63) - 1 + 2**64),
    _set("frames", 0, 3, to=-1),
    _set("frames", 0, 5, to=None),
    _set("frames", 0, 6, to=4),
    _set("frames", 0, 6, to=1),
    _set("frames", 0, to=["north", 1, T0]),
    _without("frames", 3),
    _set("sets", 0, 0, to=-1),
    _set("sets", 0, 0, to=2 * MS),
    _set("sets", 0, 1, to=[0]),
    _set("sets", 0, 1, to=[0, 2, -1]),
    _set("sets", 0, to=[0, [0, -1]]),
    _set("sets", 0, 1, to=[0, -2]),
    _set("sets", 0, 1, to=[2, 0]),
    _set("sets", 0, 1, to=[0, 4]),
    _set("sets", 0, to=[3 * MS, [1, 3]]),
    *(_without(field) for field in FIELDS if field not in ADDED),
]


def _coded(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """The same of a stream that is encoded."""

    def both(header: dict[str, Any]) -> None:
        codec = {"name": "h264", "extradata": b"sps"}
        header["streams"]["north"] |= {"format": "encoded", "codec": codec}
        change(header)

    both.__name__ = f"encoded {change.__name__}"
    return both


NORTH = ("streams", "north", "codec")
LIES += [
    _coded(_without(*NORTH)),
    _coded(_set(*NORTH, to=None)),
    _coded(_set(*NORTH, "name", to="")),
    _coded(_set(*NORTH, "name", to="x" * 65)),
    _coded(_set(*NORTH, "extradata", to="text")),
    _coded(_set(*NORTH, "extradata", to=bytes((1 << 16) + 1))),
    _coded(_without(*NORTH, "extradata")),
]


def test_an_encoded_stream_that_does_not_lie_is_taken() -> None:
    parts = pair()
    header = header_of(parts)
    _coded(_set("seq", to=4))(header)
    parts[1] = msgspec.msgpack.encode(header)
    north = wire.decode_batch(parts).frames["north"]
    assert {one.layout for one in north} == {Layout("encoded", 4, 2, "limited", "bt601", Codec("h264", b"sps"))}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_header_that_lies_is_refused(lie: Callable[[dict[str, Any]], None]) -> None:
    parts = pair()
    header = header_of(parts)
    lie(header)
    parts[1] = msgspec.msgpack.encode(header)
    with pytest.raises(WireError):
        wire.decode_batch(parts)


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[:1],
        lambda parts: [],
        lambda parts: parts[:-1],
        lambda parts: [*parts, b""],
        lambda parts: [b"batch/lobby2", *parts[1:]],
        lambda parts: [b"late/lobby", *parts[1:]],
        lambda parts: [*parts[:-1], parts[-1][:-1]],
        lambda parts: [*parts[:-1], parts[-1] + b"\0"],
        lambda parts: [parts[0], parts[1][:-1], *parts[2:]],
        lambda parts: [parts[0], parts[1] + b"\0", *parts[2:]],
        lambda parts: [parts[0], b"", *parts[2:]],
        lambda parts: [parts[0], b"\x91" * 100_000, *parts[2:]],
        lambda parts: [parts[0], b"\x81\xa5later" + b"\x91" * 100_000, *parts[2:]],
        lambda parts: [parts[0], b"\xdf\xff\xff\xff\xff", *parts[2:]],
        lambda parts: [parts[0], b"\x81\xa6frames\xdd\xff\xff\xff\xff", *parts[2:]],
        lambda parts: [parts[0], b"\x81\xa5group\xa2\xff\xfe", *parts[2:]],
    ],
)
def test_a_message_with_the_wrong_parts_is_refused(change: Callable[[list[Any]], list[Any]]) -> None:
    with pytest.raises(WireError):
        wire.decode_batch(change(pair()))


def test_the_tiniest_valid_message_passes() -> None:
    nothing = batch(frames={"north": []}, missing={"north": "deadline"})
    assert wire.decode_batch(message_of(nothing)).sets == []


def test_status_comes_back_and_is_checked() -> None:
    data = wire.encode_status("run-1", 7, "draining", emitted_ns=T0)
    got = wire.decode_status(data)
    assert (got.v, got.run_id, got.epoch, got.state, got.emitted_ns) == (1, "run-1", 7, "draining", T0)
    assert got.control == "", "a service of before does not say"
    said = wire.encode_status("run-1", 7, "running", emitted_ns=T0, control="tcp://127.0.0.1:5556")
    assert wire.decode_status(said).control == "tcp://127.0.0.1:5556"
    for bad in ({"state": "asleep"}, {"v": 2}, {"epoch": -1}, {"emitted_ns": "now"}):
        with pytest.raises(WireError, match="status"):
            wire.decode_status(msgspec.msgpack.encode(msgspec.msgpack.decode(data) | bad))


def test_control_messages_are_maps_with_a_version_and_a_type() -> None:
    message = {"v": 1, "type": "hello", "groups": {"lobby": {"streams": ["a"], "window_ms": None}}}
    assert wire.decode_control(wire.encode_control(message)) == message
    assert wire.decode_control(wire.encode_control({"type": "status"})) == {"v": 1, "type": "status"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x80",
        b"GET / HTTP/1.1\r\n",
        b"\x91" * 1024,
        msgspec.msgpack.encode({"v": 1}),
        msgspec.msgpack.encode({"type": "hello"}),
        msgspec.msgpack.encode({"v": 2, "type": "hello"}),
        msgspec.msgpack.encode({"v": True, "type": "hello"}),
        msgspec.msgpack.encode({"v": 1, "type": 5}),
        msgspec.msgpack.encode({"v": 1, "type": "hello", 5: 6}),
        b"\x82\xa1v\x01\xa4type" + b"\x91" * 900 + b"\x01",
        msgspec.msgpack.encode({"v": 1, "type": "hello", "fill": "x" * 1024}),
    ],
)
def test_a_control_message_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="control"):
        wire.decode_control(data)


def test_an_answer_may_be_longer_than_a_question() -> None:
    answer = wire.encode_control({"type": "hello", "fill": "x" * 2000})
    assert wire.decode_control(answer, max_bytes=4096)["fill"] == "x" * 2000


def test_numpy_buffers_travel_as_well_as_bytes() -> None:
    parts = message_of(batch(frames={"north": [frame("north", 1, payload=np.arange(8, dtype=np.uint8))]}))
    assert wire.decode_batch(parts).frames["north"][0].pixels.tolist() == list(range(8))
