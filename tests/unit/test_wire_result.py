"""Results on the wire: what goes in comes out, in the published bytes, and what is damaged is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.errors import UsageError, WireError
from syncsvc.wire.result import ResultHeader, decode_result, decode_result_header, encode_result, result_topic
from tests.batches import RESULT_IDENTITY, RESULT_ORIGIN, result_message, result_of_a_set, vector_bytes

DOCS = Path(__file__).parents[2] / "docs"

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=5), some, max_size=4),
    max_leaves=12,
)


@dataclass
class Box:
    """What a detector may return."""

    label: str
    corners: tuple[int, int]


@given(PLAIN)
def test_plain_data_come_back_as_they_were(value: Any) -> None:
    assert decode_result(result_message(value)).value == value


def test_arrays_come_back_wherever_they_are_and_read_only() -> None:
    arrays = [
        np.arange(24, dtype=np.uint8).reshape(2, 4, 3), np.zeros((0, 4), np.float32), np.arange(5)[::-2],
        np.array([[1, 2], [3, 4]], ">i2"), np.array([True, False]), np.array([1 + 2j]),
    ]  # fmt: skip
    result = decode_result(result_message({"all": arrays, "in": ({"it": arrays[0]},), "one": np.float32(1.5)}))
    assert result.value["one"] == 1.5
    for found, array in zip([*result.value["all"], result.value["in"][0]["it"]], [*arrays, arrays[0]], strict=True):
        assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, array)
        assert found.size == 0 or not found.flags.writeable
    boxes = [Box("car", (1, 2))]
    assert decode_result(result_message(boxes)).value == [{"label": "car", "corners": [1, 2]}]


def test_the_identity_of_batch_set_and_frames_comes_along() -> None:
    result = decode_result(result_message(None, error="ValueError: no"))
    assert (result.group, result.run_id, result.epoch, result.seq) == ("lobby", "run-1", 1_767_225_590_000, 7)
    assert [tuple(one) for one in result.frames] == RESULT_IDENTITY.frames
    assert (result.per, result.set_index, result.error) == ("set", 1, "ValueError: no")
    assert (result.target, result.pool_id, result.number) == ("motion", "pool-1", 41)
    assert "Result 41 of motion lobby #7" in repr(result)
    fields = [field.name for field in msgspec.structs.fields(ResultHeader)]
    assert list(decode_result_header(result_message(None)[1])) == fields
    text = (DOCS / "protocol.md").read_text().partition("Results of `syncsvc process`")[2]
    assert [field for field in fields if f"`{field}`" not in text] == []


@pytest.mark.parametrize("value", [object(), {1: 2}, {"$array": 0}, np.array(["text"]), 2**70, {"a": [lambda: None]}])
def test_what_cannot_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        result_message(value)
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(UsageError, match="nested"):
        result_message(deep)


def test_damaged_messages_are_refused() -> None:
    topic, header, payload = result_message(np.arange(6))
    assert decode_result([topic, header, payload]).value.sum() == 15
    plain = msgspec.msgpack.decode(header)

    def changed(**keys: Any) -> bytes:
        return msgspec.msgpack.encode({**plain, **keys})

    for parts in (
        [topic], [topic, header], [topic, header, payload, payload], [b"result/lobby2", header, payload],
        [topic, header[:-1], payload], [topic, header, bytes(payload)[:-1]],
        [topic, changed(arrays=[["<i8", [7]]]), payload], [topic, changed(arrays=[["<i8", [2**40]]]), payload],
        [topic, changed(arrays=[["|O8", [6]]]), payload], [topic, changed(data={"$array": 1}), payload],
        [topic, changed(data={"$array": "0"}), payload], [topic, changed(set=None), payload],
        [topic, changed(window=[2, 1]), payload], [topic, changed(v=2), payload],
    ):  # fmt: skip
        with pytest.raises(WireError):
            decode_result(parts)


def test_a_topic_is_that_of_its_group() -> None:
    assert result_topic("lobby") == b"result/lobby"
    assert encode_result(RESULT_IDENTITY, RESULT_ORIGIN, np.zeros(3))[1][0].nbytes == 24


def test_the_bytes_are_those_of_the_published_vector() -> None:
    assert vector_bytes(result_of_a_set()) == (DOCS / "vectors" / "result-of-a-set.bin").read_bytes()
