"""What is printed of frames, sets and batches: a line or two, a small table, and nothing that a browser would obey."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncsvc import showing, wire
from syncsvc.layout import Codec, Layout
from syncsvc.model import Counts, Frame, FrameBatch, FrameSet
from tests.batches import MS, T0, VECTORS, batch, frame, together

ANY_NUMBER = st.integers(-(2**63), 2**63)
EVIL = st.sampled_from(["<script>alert(1)</script>", "\"&'<", "a\nb", "\x1b[31m", "\u202e", "z" * 4000, ""])
WORDS = EVIL | st.text(max_size=70)


def test_a_batch_is_one_line() -> None:
    assert repr(wire.decode_batch(VECTORS["two-cameras"]())) == (
        "FrameBatch(lobby #0, 2026-01-01T00:00:00.000000Z + 1000.000 ms: 2 sets; frames: north 2, south 2; complete)"
    )
    assert repr(wire.decode_batch(VECTORS["somebody-missing"]())) == (
        "FrameBatch(yard_2 #3, 2026-01-01T00:00:03.000000Z + 1000.000 ms: 0 sets; frames: gate 0, porch 1, attic 0; "
        "missing gate (stalled), attic (absent))"
    )


def test_a_set_is_one_line() -> None:
    assert [repr(one) for one in wire.decode_batch(VECTORS["size-changes"]()).sets] == [
        "FrameSet(2 frames within 1.000 ms: north #1, south #5; missing east)",
        "FrameSet(3 frames within 2.000 ms: north #2, south #6, east #9)",
    ]


def test_an_encoded_frame_names_its_codec_and_not_its_parameters() -> None:
    key = wire.decode_batch(VECTORS["coded-streams"]()).frames["north"][0]
    assert repr(key) == (
        "Frame(north #3, 2026-01-01T00:00:08.010000Z ± 1.000 ms by rtcp, encoded (h264) 16x16, key frame)"
    )


def test_who_finds_no_room_is_counted() -> None:
    names = [f"camera-{n:02}" for n in range(40)]
    many = {name: frame(name, 5) for name in names}
    assert repr(FrameSet(2 * MS, many, ())) == (
        "FrameSet(40 frames within 2.000 ms: camera-00 #5, camera-01 #5, camera-02 #5, camera-03 #5, +36 more)"
    )


def test_moments_beyond_the_calendar_are_numbers() -> None:
    assert showing.utc(-1) == "1969-12-31T23:59:59.999999Z"
    assert showing.utc(10**30) == "10000000000000000000000…"


class Cells(HTMLParser):
    """Reads a table as a browser does: what tags there are, and what each cell shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert not attrs
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1][-1] += data


def test_a_notebook_shows_a_row_for_each_stream() -> None:
    rows = Cells(wire.decode_batch(VECTORS["somebody-missing"]())._repr_html_()).rows
    at = "2026-01-01T00:00:03.500000Z"
    assert rows == [
        ["stream", "frames", "first", "last", "clock", "picture", "late", "dropped", "missing"],
        ["gate", "0", "", "", "", "", "2", "capture_died 2, decode_error 1", "stalled"],
        ["porch", "1", at, at, "model", "gray8 4x2", "0", "0", ""],
        ["attic", "0", "", "", "", "", "0", "0", "absent"],
    ]


def test_a_notebook_shows_a_row_for_each_frame_of_a_set() -> None:
    one = wire.decode_batch(VECTORS["two-cameras"]()).sets[0]
    assert Cells(one._repr_html_()).rows == [
        ["stream", "seq", "time", "±", "clock", "picture"],
        ["north", "41", "2026-01-01T00:00:00.010000Z", "1.000 ms", "rtcp", "i420 5x3 (key frame)"],
        ["south", "7", "2026-01-01T00:00:00.012000Z", "1.000 ms", "arrival", "bgr24 2x2"],
    ]
    assert Cells(one.frames["south"]._repr_html_()).rows[1][:2] == ["south", "7"]


def test_a_table_stays_small() -> None:
    names = [f"c{n}" for n in range(100)]
    rows = Cells(batch(frames={name: [frame(name, 0)] for name in names})._repr_html_()).rows
    assert len(rows) == 1 + showing.MOST_ROWS + 1
    assert rows[-1] == ["+84 more"]


@st.composite
def named_by_anybody(draw: st.DrawFn) -> tuple[Frame, FrameSet, FrameBatch]:
    """A frame, a set and a batch of them, whatever their names and numbers are."""
    names = draw(st.lists(WORDS, min_size=1, max_size=40, unique=True))
    kind, clock, reason, cause = (draw(WORDS) for _ in range(4))
    layout = Layout(kind, draw(st.integers(1, 65_535)), 1, codec=draw(st.none() | st.builds(Codec, WORDS)))  # type: ignore[arg-type]
    frames = {
        name: [
            replace(
                frame(name, draw(ANY_NUMBER), draw(ANY_NUMBER), clock=clock, payload=b""),  # type: ignore[arg-type]
                uncertainty_ns=draw(ANY_NUMBER), layout=layout, keyframe=draw(st.booleans()),
            )
        ]
        for name in names
    }  # fmt: skip
    one = together(*(found[0] for found in frames.values()), group=[*names, *draw(st.lists(WORDS, max_size=9))])
    counts = {name: Counts(1, 1, draw(ANY_NUMBER), {cause: 1}) for name in names[1:]}
    made = batch(group=draw(WORDS), frames=frames, sets=[one] * 3, missing=dict.fromkeys(names[:7], reason),  # type: ignore[arg-type]
                 counts=counts)  # fmt: skip
    return frames[names[0]][0], one, made


@given(named_by_anybody())
def test_whatever_it_holds_a_value_is_shown_in_two_lines_and_in_a_table_that_obeys_nobody(
    values: tuple[Frame, FrameSet, FrameBatch],
) -> None:
    for value in values:
        assert len(repr(value)) <= showing.MOST_CHARACTERS
        assert repr(value).isprintable()
        shown = Cells(value._repr_html_())
        assert shown.tags == {"table", "caption", "tr", "td", "th"}
        assert len(value._repr_html_()) < 30_000
        widths = {len(row) for row in shown.rows[: showing.MOST_ROWS + 1]}
        assert len(widths) == 1
    assert str(T0) not in repr(values)
