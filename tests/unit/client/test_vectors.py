"""The published test vectors, read the way a client in another language would: without a line of syncsvc."""

import json
import struct
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

VECTORS = Path(__file__).parents[3] / "docs" / "vectors"
OF_OTHER_KINDS = ("result-of-a-set", "status-ended", "lossless-resumed", "lossless-gap")
NAMES = sorted(path.stem for path in VECTORS.glob("*.bin"))
SCALARS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i"}
SCALARS[0xD3] = ">q"
LENGTHS = {0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4), 0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4)}
LENGTHS |= {0xDC: ("list", 2), 0xDD: ("list", 4), 0xDE: ("map", 2), 0xDF: ("map", 4)}


def read_msgpack(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One value and the offset behind it (MessagePack without extension types)."""
    first = data[at]
    at += 1
    if first <= 0x7F:
        return first, at
    if first >= 0xE0:
        return first - 256, at
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], at
    if first in SCALARS:
        size = struct.calcsize(SCALARS[first])
        return struct.unpack_from(SCALARS[first], data, at)[0], at + size
    if first in LENGTHS:
        kind, width = LENGTHS[first]
        length = int.from_bytes(data[at : at + width], "big")
        at += width
    elif first <= 0x8F:
        kind, length = "map", first & 15
    elif first <= 0x9F:
        kind, length = "list", first & 15
    elif first <= 0xBF:
        kind, length = "str", first & 31
    else:
        raise ValueError(f"type {first:#x} is not used by the protocol")
    if kind in ("str", "bin"):
        raw = data[at : at + length]
        return (raw.decode() if kind == "str" else raw), at + length
    items = []
    for _ in range(length * (2 if kind == "map" else 1)):
        value, at = read_msgpack(data, at)
        items.append(value)
    return (dict(zip(items[::2], items[1::2], strict=True)) if kind == "map" else items), at


def parts_of(name: str) -> list[bytes]:
    data, at, parts = (VECTORS / f"{name}.bin").read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    assert at == len(data)
    return parts


def expected_of(name: str) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return expected


def looks_of(header: dict[str, Any]) -> list[dict[str, Any]]:
    """Format, size and colours of each row's payload."""
    now = dict(header["streams"])
    changes = {row: look for stream in header["streams"].values() for row, look in stream.get("changes", [])}
    looks = []
    for row, (name, *_) in enumerate(header["frames"]):
        now[name] = changes.get(row, now[name])
        looks.append(now[name])
    return looks


def readable(value: Any) -> Any:
    """As JSON has it: bytes in hexadecimal."""
    if isinstance(value, dict):
        return {key: readable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [readable(one) for one in value]
    return value.hex() if isinstance(value, bytes) else value


class Decoder:
    """Any client's: a codec by its name, its extradata, and the payloads of the stream in their order."""

    def __init__(self, codec: dict[str, Any]) -> None:
        self._context: Any = av.CodecContext.create(codec["name"], "r")
        self._context.thread_count, self._context.extradata = 1, codec["extradata"]

    def i420(self, payload: bytes) -> bytes:
        """The picture of the next payload, its planes packed."""
        packet = av.Packet(len(payload))
        packet.update(payload)
        (picture,) = self._context.decode(packet)
        return bytes(picture.to_ndarray().tobytes())


def bgr_at(payload: bytes, look: dict[str, Any], x: int, y: int) -> list[float]:
    """One pixel by the formulas of the specification."""
    width, height = look["width"], look["height"]
    if look["format"] == "bgr24":
        return list(payload[3 * (y * width + x) :][:3])
    black, luma_gain, chroma_gain = (16, 255 / 219, 255 / 224) if look["range"] == "limited" else (0, 1, 1)
    luma = (payload[y * width + x] - black) * luma_gain
    if look["format"] == "gray8":
        return [min(255, max(0, luma))] * 3
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    at = width * height + (y // 2) * half_width + x // 2
    u, v = ((payload[i] - 128) * chroma_gain for i in (at, at + half_width * half_height))
    red, blue = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}[look["matrix"]]
    r, b = luma + 2 * (1 - red) * v, luma + 2 * (1 - blue) * u
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return [min(255, max(0, value)) for value in (b, g, r)]


def test_there_are_vectors_of_every_kind_of_message() -> None:
    kinds = {parts_of(name)[0].split(b"/")[0] for name in NAMES}
    assert kinds == {b"batch", b"coded", b"head", b"late", b"result", b"status", b"resumed", b"gap"}
    assert len(NAMES) == 13


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_are_what_the_json_says(name: str) -> None:
    topic, header, *payloads = parts_of(name)
    expected = expected_of(name)
    value, end = read_msgpack(header)
    assert end == len(header)
    assert readable(value) == expected["header"]
    assert list(value) == list(expected["header"])  # maps keep their order: `streams` is the group's
    assert topic.decode() == expected["topic"]
    assert [payload.hex() for payload in payloads] == expected["payloads"]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_OTHER_KINDS])
def test_the_header_keeps_its_own_rules(name: str) -> None:
    topic, data, *payloads = parts_of(name)
    header, _ = read_msgpack(data)
    assert header["v"] == 1
    assert topic.decode().split("/")[1] == header["group"]
    assert header["complete"] == (not header["missing"])
    assert [row[6] for row in header["frames"]] == list(range(len(header["frames"])))
    assert len(payloads) == (0 if topic.startswith(b"head/") else len(header["frames"]))
    for counts in (header["counts"], *(stream["counts"] for stream in header["streams"].values())):
        assert counts["captured"] == counts["delivered"] + counts["late"] + sum(counts["dropped"].values())
    for spread_ns, members in header["sets"]:
        times = [header["frames"][index][2] for index in members if index >= 0]
        assert len(members) == len(header["streams"])
        assert max(times) - min(times) == spread_ns


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*OF_OTHER_KINDS, "head-of-two-cameras")])
def test_payloads_have_the_size_and_the_colours_of_the_specification(name: str) -> None:
    _, data, *payloads = parts_of(name)
    looks = looks_of(read_msgpack(data)[0])
    expected = expected_of(name)["bgr"]
    assert len(looks) == len(payloads) == len(expected) > 0
    decoder: Decoder | None = None
    for payload, look, picture in zip(payloads, looks, expected, strict=True):
        width, height = look["width"], look["height"]
        if not payload:
            assert (name, picture) == ("coded-beside", []), "it has no coded picture"
            continue
        if look["format"] == "encoded":
            decoder = decoder or Decoder(look["codec"])
            payload, look = decoder.i420(payload), look | {"format": "i420"}
        elif look["format"] == "jpeg":
            bgr = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
            assert (look["range"], look["matrix"]) == ("full", "bt601")
            payload, look = bgr.tobytes(), look | {"format": "bgr24"}
        chroma = 2 * ((width + 1) // 2) * ((height + 1) // 2)
        assert (
            len(payload)
            == {"i420": width * height + chroma, "bgr24": 3 * width * height, "gray8": width * height}[look["format"]]
        )
        for y in range(height):
            for x in range(width):
                assert picture[y][x] == pytest.approx(bgr_at(payload, look, x, y), abs=1.01)


def test_a_results_arrays_are_what_its_header_says_of_its_payloads() -> None:
    topic, data, *payloads = parts_of("result-of-a-set")
    header, _ = read_msgpack(data)
    assert topic.decode() == f"result/{header['group']}"
    assert header["arrays"] == [["|u1", [2, 3]], ["<f4", [2]]]
    assert (header["data"]["mask"], header["data"]["scores"]) == ({"$array": 0}, {"$array": 1})
    assert list(payloads[0]) == [0, 255, 255, 0, 0, 255]
    assert struct.unpack("<2f", payloads[1]) == (0.5, -2.25)
