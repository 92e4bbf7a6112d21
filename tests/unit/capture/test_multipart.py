"""Pictures out of a stream: cut right wherever the bytes are cut, and whatever cameras do to the format."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.capture import multipart
from syncsvc.capture.multipart import SOI, Part, PartReader


def jpeg(number: int, *, thumbnail: bool = False) -> bytes:
    """What a JPEG looks like from outside: segments, one with a picture inside, and a scan with every kind of byte."""
    inside = SOI + b"\xe0\x00\x02" + b"tiny\xff\xd9" if thumbnail else b"comment %d" % number
    comment = b"\xff\xfe" + (len(inside) + 2).to_bytes(2, "big") + inside
    scan = b"\r\n--\r\n\r\n" + bytes(range(255)) * number + b"\xff\x00\xff\xd0\xff\xff\x00end"
    return b"\xff\xd8\xff\xdb\x00\x04qt" + comment + b"\xff\xff\xda\x00\x08header" + scan + b"\xff\xd9"


PICTURES = [jpeg(number, thumbnail=number == 2) for number in range(5)]


def part(body: bytes, *lines: str, delimiter: str = "--cam", end: str = "\r\n") -> bytes:
    head = [delimiter, "Content-Type: image/jpeg", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body + end.encode()


def long(body: bytes, more: int = 0, **options: str) -> bytes:
    return part(body, f"Content-Length: {len(body) + more}", **options)


def read(data: bytes, cuts: list[int] | None = None) -> list[Part]:
    reader, edges = PartReader(), [0, *sorted(cuts or []), len(data)]
    parts: list[Part] = []
    for at, (begin, end) in enumerate(pairwise(edges)):
        parts += reader.feed(data[begin:end], at)
    return parts


def bodies(data: bytes) -> list[bytes]:
    return [one.body for one in read(data) if one.is_picture]


MAKES = {
    "as the standard has it": [long(one) for one in PICTURES],
    "no length": [part(one) for one in PICTURES],
    "lengths too big": [long(one, 60) for one in PICTURES],
    "lengths far too big": [long(one, 100_000) for one in PICTURES],
    "lengths too small": [long(one, -7) for one in PICTURES],
    "lengths of nothing": [part(one, "Content-Length: 0") for one in PICTURES],
    "lengths that are none": [part(one, "Content-Length: many") for one in PICTURES],
    "a boundary that ends with dashes": [long(one, delimiter="--data-boundary--") for one in PICTURES],
    "one with a space in it": [long(one, delimiter="--video boundary--", end="\r\n\r\n") for one in PICTURES],
    "one without dashes": [long(one, delimiter="myboundary") for one in PICTURES],
    "one with a colon": [long(one, delimiter="--a:b=c") for one in PICTURES],
    "one of a letter": [part(one, delimiter="--b") for one in PICTURES],
    "none before the first": [long(PICTURES[0])[7:], *(long(one) for one in PICTURES[1:])],
    "the delimiter behind the picture": [b"--cam\r\n", *(long(one)[7:] + b"--cam\r\n" for one in PICTURES)],
    "nothing before the delimiter": [long(one, end="") for one in PICTURES],
    "line feeds alone": [long(one).replace(b"\r\n", b"\n") for one in PICTURES],
    "no head": [b"--cam\r\n\r\n" + one + b"\r\n" for one in PICTURES],
    "no type": [b"--cam\r\nContent-Length: %d\r\n\r\n" % len(one) + one + b"\r\n" for one in PICTURES],
    "another type": [long(one).replace(b"image/jpeg", b"JPG") for one in PICTURES],
    "no blank line": [b"--cam\r\nContent-Type: image/jpeg\r\n" + one + b"\r\n" for one in PICTURES],
    "two blank lines": [b"--cam\r\nA: b\r\n\r\n\r\n" + one + b"\r\n" for one in PICTURES],
    "zeros behind the picture": [part(one + bytes(512)) for one in PICTURES],
    "another picture behind it": [long(one + SOI + b"\xda\x00\x02more\xff\xd9") for one in PICTURES],
    "a preamble": [b"This is multipart.\r\n\r\n", *map(long, PICTURES)],
    "sound between": [long(b"\x7f" * 99).replace(b"image/jpeg", b"audio/basic") + long(one) for one in PICTURES],
    "heads of HTTP": [long(one, delimiter="HTTP/1.0 200 OK") for one in PICTURES],
    "nothing but pictures": PICTURES,
    "nothing but pictures and zeros": [one + bytes(9) for one in PICTURES],
}


@pytest.mark.parametrize("sent", MAKES.values(), ids=MAKES)
def test_every_make_of_camera_gives_its_pictures(sent: list[bytes]) -> None:
    data = b"".join(sent).replace(b"\r\n--\n\n", b"\r\n--\r\n\r\n")
    pictures = [one if one in data else one.replace(b"\r\n", b"\n") for one in PICTURES]
    found = [one.replace(b"\r\n", b"\n") for one in bodies(data + b"--cam\r\n")]
    assert found == [one.replace(b"\r\n", b"\n") for one in pictures]


@given(st.randoms(use_true_random=False), st.sampled_from(sorted(MAKES)))
def test_however_the_bytes_are_cut_the_parts_are_the_same(random: Random, make: str) -> None:
    data = b"".join(MAKES[make])
    whole = read(data)
    parts = read(data, [random.randrange(len(data)) for _ in range(random.randrange(30))])
    assert [(one.headers, one.body) for one in parts] == [(one.headers, one.body) for one in whole]
    assert all(one.start_mono_ns <= one.end_mono_ns for one in parts)


def test_a_part_has_what_its_head_says() -> None:
    (one,) = read(part(PICTURES[1], "X-TimeStamp: 5.5", "Odd line", "x-timestamp : 5.5"))
    assert one.headers["x-timestamp"] == "5.5"
    assert one.headers["content-type"] == "image/jpeg"


def test_a_part_begins_behind_its_delimiter_and_ends_with_its_last_byte() -> None:
    reader = PartReader()
    first, second = long(PICTURES[1]), long(PICTURES[2])
    assert next(reader.feed(first[:-2], 10)).end_mono_ns == 10
    assert list(reader.feed(b"\r\n--cam\r\n", 11)) == []  # sent with the picture before it
    assert list(reader.feed(second[7:50], 50)) == []
    one = next(reader.feed(second[50:], 53))
    assert (one.start_mono_ns, one.end_mono_ns, one.body) == (50, 53, PICTURES[2])


@pytest.mark.parametrize("end", [-1, -2, -30])
@pytest.mark.parametrize("make", [part, long])
def test_a_picture_that_was_cut_off_is_told_and_costs_no_other(end: int, make: object) -> None:
    assert callable(make)
    cut, good = PICTURES[4][:end], make(PICTURES[3])
    assert bodies(make(cut) + good + good + b"--cam\r\n") == [cut, PICTURES[3], PICTURES[3]]
    assert bodies(make(PICTURES[3]) + make(cut) + good) == [PICTURES[3], cut, PICTURES[3]]


def test_a_picture_that_was_cut_off_ends_where_the_next_begins_if_nothing_else_does() -> None:
    assert bodies(PICTURES[4][:-2] + PICTURES[3]) == [PICTURES[4][:-2], PICTURES[3]]


def test_what_is_called_a_picture_and_is_none_is_told() -> None:
    data = long(PICTURES[0]) + long(b"no picture") + part(b"none either") + long(PICTURES[1])
    assert bodies(data) == [PICTURES[0], b"no picture", b"none either", PICTURES[1]]


def test_what_had_come_of_a_picture_is_there_when_no_more_comes() -> None:
    reader = PartReader()
    assert list(reader.feed(PICTURES[4][:-2], 7)) == []
    rest = reader.rest(9)
    assert rest is not None
    assert (rest.body, rest.start_mono_ns, rest.end_mono_ns) == (PICTURES[4][:-2], 7, 9)
    assert reader.rest(10) is None


def test_a_part_without_a_body_is_none() -> None:
    empty = b"--cam\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n\r\n"
    assert bodies(long(PICTURES[0]) + empty + empty + long(PICTURES[1])) == PICTURES[:2]


def test_a_delimiter_that_does_not_come_again_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "_MAX_BETWEEN_BYTES", 2000)
    sent = [long(PICTURES[0]), *(long(one, delimiter="--other") for one in [*PICTURES, *PICTURES])]
    data = b"".join(sent)
    assert [one.body for one in read(data, list(range(0, len(data), 500)))][-5:] == PICTURES


@pytest.mark.parametrize(
    "garbage",
    [
        b"x" * 5_000_000,
        b"--cam\r\n" + b"a" * 100_000,
        b"--cam\r\n\r\n" + b"j" * 300_000,
        bytes(100_000),
        PICTURES[0][:-2] + b"s" * 300_000,
        SOI + b"not a segment" * 20_000,
        SOI * 50_000,
    ],
    ids=["no delimiter", "endless head", "endless body", "zeros", "endless picture", "no structure", "beginnings"],
)
def test_garbage_is_passed_over_and_not_kept(garbage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MAX_PART_BYTES", 100_000)
    reader = PartReader()
    for at in range(0, len(garbage), 50_000):
        for one in reader.feed(garbage[at : at + 50_000], at):
            assert len(one.body) <= 150_000
        assert len(reader._data) <= 150_000
    good = long(PICTURES[2])
    assert list(reader.feed(b"\r\n" + good + good + b"--cam\r\n", 1))[-1].body == PICTURES[2]
