"""Parts of a multipart body: cut right wherever the bytes are cut, and whatever cameras do to the format."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.capture import multipart
from syncsvc.capture.multipart import Part, PartReader

BODIES = [bytes([0xFF, 0xD8, n]) + bytes(range(256)) * n + b"\r\n-\xff\xd9" for n in range(5)]


def with_length(body: bytes, number: int) -> bytes:
    return b"--cam\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\nX-Timestamp: %d.5\r\n\r\n%s\r\n" % (
        len(body), number, body,
    )  # fmt: skip


def read(reader: PartReader, data: bytes, cuts: list[int] | None = None) -> list[Part]:
    edges = [0, *sorted(cuts or []), len(data)]
    parts: list[Part] = []
    for at, (begin, end) in enumerate(pairwise(edges)):
        parts += reader.feed(data[begin:end], at)
    return parts


@given(st.randoms(use_true_random=False), st.booleans(), st.sampled_from(["cam", "--cam"]))
def test_however_the_bytes_are_cut_the_parts_are_the_same(random: Random, has_length: bool, boundary: str) -> None:
    data = b"".join(with_length(body, number) for number, body in enumerate(BODIES))
    if not has_length:
        data = b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"Content-Length"))
    data += b"--cam\r\n"
    parts = read(PartReader(boundary), data, [random.randrange(len(data)) for _ in range(random.randrange(30))])
    assert [part.body for part in parts] == BODIES
    assert [part.headers["x-timestamp"] for part in parts] == [f"{number}.5" for number in range(5)]
    assert all(part.start_mono_ns <= part.end_mono_ns for part in parts)


def test_a_part_begins_behind_its_delimiter_and_ends_with_its_last_byte() -> None:
    reader = PartReader("cam")
    first, second = with_length(BODIES[1], 0), with_length(BODIES[2], 1)
    assert next(reader.feed(first[:-2], 10)).end_mono_ns == 10
    assert list(reader.feed(b"\r\n--cam\r\n", 11)) == []  # sent with the picture before it
    assert list(reader.feed(second[7:50], 50)) == []
    part = next(reader.feed(second[50:], 53))
    assert (part.start_mono_ns, part.end_mono_ns, part.body) == (50, 53, BODIES[2])


@pytest.mark.parametrize(
    ("boundary", "data"),
    [
        ("cam", b"--cam\n\nJPEG\n--cam\n"),
        ("cam", b"--cam\nA: b\n\nJPEG\n--cam--\n"),
        ("cam", b"\r\n\r\n--cam\r\ncontent-length: 4\r\n\r\nJPEG\r\n"),
        ("--cam", b"----cam\r\nContent-Length: 4\r\n\r\nJPEG"),
        ("", b"--whatever\r\nContent-Length: 4\r\n\r\nJPEG"),
        ("cam", b"hello\r\n--other\r\n--cam\r\nContent-Length: 4\r\n\r\nJPEG"),
        ("cam", b"--cam\r\nContent-Length: none\r\n\r\nJPEG\r\n--cam\r\n"),
        ("cam", b"--cam\r\nContent-Length: 0\r\n\r\nJPEG\r\n--cam\r\n"),
    ],
)
def test_sloppy_cameras(boundary: str, data: bytes) -> None:
    assert [part.body for part in read(PartReader(boundary), data)] == [b"JPEG"]


def test_a_wrong_length_costs_at_most_the_next_part() -> None:
    short = b"--cam\r\nContent-Length: 100\r\n\r\nJPEG\r\n"
    long = b"--cam\r\nContent-Length: 2\r\n\r\nJPEG\r\n"
    good = with_length(BODIES[3], 7)
    for bad in (short, long):
        assert read(PartReader("cam"), bad + good + good)[-1].body == BODIES[3]


def test_the_closing_delimiter_ends_it() -> None:
    reader = PartReader("cam")
    assert len(read(reader, with_length(BODIES[0], 0) + b"--cam--\r\n" + with_length(BODIES[0], 1))) == 1
    assert reader.is_over


@pytest.mark.parametrize(
    "garbage",
    [b"x" * 5_000_000, b"--cam\r\n" + b"a" * 100_000, b"--cam\r\n\r\n" + b"j" * 300_000, bytes(100_000)],
    ids=["no delimiter", "endless head", "endless body", "zeros"],
)
def test_garbage_is_passed_over_and_not_kept(garbage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MAX_PART_BYTES", 100_000)
    reader = PartReader("cam")
    for at in range(0, len(garbage), 50_000):
        assert list(reader.feed(garbage[at : at + 50_000], at)) == []
        assert len(reader._data) <= 150_000
    good = with_length(BODIES[2], 1)
    assert read(reader, b"\r\n" + good + good)[-1].body == BODIES[2]
