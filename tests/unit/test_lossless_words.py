"""The words of mode ``lossless``: their bytes, their bounds, and that nothing else passes for one."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncsvc import wire
from syncsvc.errors import WireError
from syncsvc.wire import Credit, Leave, Mark, Resume
from tests.batches import T0, batch, message_of

DOCS = Path(__file__).parents[2] / "docs"
RESUME = Resume(
    1, "c1", 3, "coded", 2, ("lobby", "yard"), "archive", False, T0, (7, -1),
    {"lobby": Mark("run", 7, 3, (T0, T0 + 1))}, {"lobby": (7, 2)},
)  # fmt: skip
LEAST: dict[str, Any] = {"v": 1, "type": "resume", "client": "c", "session": 0, "payload": "batch", "credit": 1}


@pytest.mark.parametrize("word", [RESUME, Credit(1, "c1", 3, 9, {"lobby": (7, 4)}), Leave(1, "c1")])
def test_a_word_is_read_as_it_was_said(word: wire.Resume | wire.Credit | wire.Leave) -> None:
    data = wire.encode_word(word)
    assert wire.is_word(data)
    assert wire.decode_word(data) == word


def test_the_example_of_the_specification_is_that_word() -> None:
    data = wire.encode_word(Credit(1, "c1", 0, 6, {"lobby": (1000, 4)}))
    assert f"{len(data)} bytes\n`{data.hex(' ')}`" in (DOCS / "protocol.md").read_text()


def test_keys_that_have_a_default_may_be_left_out_and_others_may_be_added() -> None:
    word = wire.decode_word(msgspec.msgpack.encode({**LEAST, "later": 1}))
    assert word == Resume(1, "c", 0, "batch", 1)
    assert isinstance(word, Resume)
    assert word.start is None


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2}, {"client": ""}, {"client": "x" * 65}, {"session": -1}, {"payload": "late"}, {"credit": 17},
        {"groups": []}, {"groups": ["No"]}, {"groups": [f"g{n}" for n in range(257)]}, {"name": "a b"}, {"name": ""},
        {"start_at": [1]}, {"start_at": [1, -2]}, {"start_ns": 2**63}, {"received": {"lobby": [1, 2]}},
        {"acknowledged": {"lobby": [1, "2"]}}, {"acknowledged": {f"g{n}": [1, 2] for n in range(257)}},
        {"type": "credit", "credit": -1},
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    data = msgspec.msgpack.encode({**LEAST, **change})
    assert wire.is_word(data)
    with pytest.raises(WireError, match="control: "):
        wire.decode_word(data)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91" * 3000, msgspec.msgpack.encode({"type": "hello"}), b"\x80"])
def test_what_is_no_word_is_none(data: bytes) -> None:
    assert not wire.is_word(data)


def test_a_header_that_is_marked_differs_in_that_alone() -> None:
    topic, header, *payloads = message_of(batch(4))
    marked = wire.as_redelivered(header)
    before, after = wire.decode_header(header), wire.decode_header(marked)
    assert after.pop("redelivered") is True
    assert before == after
    assert wire.decode_batch([topic, marked, *payloads]).redelivered
    assert not wire.decode_batch([topic, header, *payloads]).redelivered
    found = wire.decode_identity(header)
    assert (found.group, found.run_id, found.seq) == ("lobby", "run-1", 4)
