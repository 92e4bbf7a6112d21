"""What a frame, a set and a batch look like when somebody prints them: a line or two, and a small table in a notebook.

Takes the values of ``model.py`` without importing them, since they show themselves by it.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from syncsvc.clock import time_of_day, utc_text

MOST_CHARACTERS = 230
"""Two lines of a terminal, about."""
MOST_ROWS = 16
_NAME_CHARACTERS, _LIST_CHARACTERS = 24, 56


def frame_line(frame: Any) -> str:
    """A frame's names and times, never its pixels; at most ``MOST_CHARACTERS``, on one line."""
    key = ", key frame" if frame.keyframe else ""
    return _fitted(
        f"Frame({_name(frame.stream)} #{frame.seq}, {utc(frame.time_ns)} ± {_ms(frame.uncertainty_ns)} by "
        f"{_name(frame.clock)}, {_picture(frame)}{key})"
    )


def set_line(together: Any) -> str:
    """Who is in a set, how close, and who is missing; at most ``MOST_CHARACTERS``, on one line."""
    members = _listed(f"{_name(name)} #{frame.seq}" for name, frame in together.frames.items())
    missing = f"; missing {_listed(map(_name, together.missing))}" if together.missing else ""
    return _fitted(f"FrameSet({len(together.frames)} frames within {_ms(together.spread_ns)}: {members}{missing})")


def batch_line(batch: Any) -> str:
    """What a batch holds, in numbers; at most ``MOST_CHARACTERS``, on one line."""
    frames = _listed(f"{_name(name)} {len(found)}" for name, found in batch.frames.items())
    missing = _listed(f"{_name(name)} ({_name(reason)})" for name, reason in batch.missing.items())
    return _fitted(
        f"FrameBatch({_name(batch.group)} #{batch.seq}, {utc(batch.window_start_ns)} + "
        f"{_ms(batch.window_end_ns - batch.window_start_ns)}: {_counted(len(batch.sets), 'set')}; frames: {frames}; "
        f"{f'missing {missing}' if missing else 'complete'})"
    )


def frame_table(frame: Any) -> str:
    """A frame as HTML, everything escaped."""
    return _table(frame_line(frame), _FRAME_HEADER, [_frame_row(frame)])


def set_table(together: Any) -> str:
    """A set as HTML: a row for each frame; everything escaped."""
    return _table(set_line(together), _FRAME_HEADER, [_frame_row(frame) for frame in together.frames.values()])


def batch_table(batch: Any) -> str:
    """A batch as HTML: a row for each stream; everything escaped."""
    header = ("stream", "frames", "first", "last", "clock", "picture", "late", "dropped", "missing")
    return _table(batch_line(batch), header, [_stream_row(batch, name) for name in batch.frames])


def utc(time_ns: int) -> str:
    """A moment as ISO 8601 has it, cut to microseconds; the number itself where no calendar reaches."""
    try:
        return utc_text(time_ns)
    except (OverflowError, ValueError, OSError):
        return _name(f"{time_ns} ns")


_FRAME_HEADER = ("stream", "seq", "time", "±", "clock", "picture")


def _frame_row(frame: Any) -> Sequence[str]:
    key = " (key frame)" if frame.keyframe else ""
    return (
        _name(frame.stream), str(frame.seq), utc(frame.time_ns), _ms(frame.uncertainty_ns), _name(frame.clock),
        _picture(frame) + key,
    )  # fmt: skip


def _stream_row(batch: Any, name: str) -> Sequence[str]:
    frames, counts = batch.frames[name], batch.counts.get(name)
    seen = ("", "", "", "")
    if frames:
        first, last = frames[0], frames[-1]
        seen = (utc(first.time_ns), utc(last.time_ns), _name(last.clock), _picture(last))
    dropped: Mapping[str, int] = counts.dropped if counts else {}
    return (
        _name(name), str(len(frames)), *seen, str(counts.late if counts else 0),
        _listed(f"{_name(cause)} {number}" for cause, number in dropped.items()) or "0",
        _name(batch.missing.get(name, "")),
    )  # fmt: skip


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    shown = [*rows[:MOST_ROWS], *([(f"+{len(rows) - MOST_ROWS} more",)] if len(rows) > MOST_ROWS else [])]
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in shown)
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def _picture(frame: Any) -> str:
    codec = f" ({_name(frame.layout.codec.name)})" if frame.layout.codec else ""
    return f"{_name(frame.format)}{codec} {frame.width}x{frame.height}"


def _fitted(line: str) -> str:
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 2]}…)"


def _name(text: str) -> str:
    """A word that others chose: on one line, and no longer than fits."""
    plain = text if text.isprintable() else repr(text)[1:-1]
    return plain if len(plain) <= _NAME_CHARACTERS else f"{plain[: _NAME_CHARACTERS - 1]}…"


def _listed(words: Iterable[str]) -> str:
    """As many as there is room for, and how many more there are."""
    shown, more, room = list[str](), 0, _LIST_CHARACTERS
    for word in words:
        room -= len(word) + 2
        if room < 0 or more:
            more += 1
        else:
            shown.append(word)
    return ", ".join([*shown, f"+{more} more"] if more else shown)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _ms(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:.3f} ms"


def gap_line(gap: Any) -> str:
    """One gap for eyes."""
    what = f"#{gap.first_seq}-#{gap.last_seq}  {gap.batches} missed" if gap.batches else "no batch missed"
    windows = f"windows {time_of_day(gap.first_window_ns)} to {time_of_day(gap.last_window_ns)}"
    return f"gap  {gap.group} {what}  {windows}  {gap.reason}"
