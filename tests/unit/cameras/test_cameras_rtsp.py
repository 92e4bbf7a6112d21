"""RTSP messages: cut out of any stream of bytes, bounded, and refused where they are none."""

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.cameras.rtsp import (
    MAX_HEAD_BYTES,
    MessageError,
    Request,
    Response,
    TransportOffer,
    choose_transport,
    read_message,
)

STREAM = (
    b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    b"$\x01\x00\x04\r\n\r\n"
    b"\r\n"
    b"SET_PARAMETER rtsp://h/north RTSP/1.0\r\nCSeq: 2\r\nContent-Length: 5\r\n\r\nOPTIO"
    b"$\x00\x00\x00"
    b"PLAY rtsp://h:554/north/?a=b RTSP/1.0\r\ncseq:3\r\n\r\n"
)


def parsed(*chunks: bytes) -> list[Request | bytes]:
    async def read() -> list[Request | bytes]:
        stream = asyncio.StreamReader(limit=MAX_HEAD_BYTES)
        reading = asyncio.create_task(read_all(stream))
        for chunk in chunks:
            stream.feed_data(chunk)
            await asyncio.sleep(0)
        stream.feed_eof()
        return await reading

    return asyncio.run(read())


async def read_all(stream: asyncio.StreamReader) -> list[Request | bytes]:
    found = []
    with suppress(EOFError):
        while True:
            found.append(await read_message(stream))
    return found


def test_pipelined_requests_and_binary_packets_are_told_apart() -> None:
    options, report, *line, parameter, empty, play = parsed(STREAM)
    assert isinstance(options, Request)
    assert (options.method, options.url, options.camera, options.headers) == ("OPTIONS", "*", None, {"cseq": "1"})
    assert report == b"\r\n\r\n"
    assert line == [b"", b""], "whoever sends an empty line is alive"
    assert isinstance(parameter, Request)
    assert parameter.body == b"OPTIO"
    assert empty == b""
    assert isinstance(play, Request)
    assert (play.camera, play.headers["cseq"]) == ("north", "3")


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_where_the_stream_is_split_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in pairwise(edges)]
    assert parsed(*chunks) == parsed(STREAM)


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),  # a TLS client
        (b"\x00" * 64, 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nno colon here\r\n\r\n", 400),
        (b"OPTIONS  * RTSP/1.0\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: 1e3\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: 999999999\r\n\r\n", 413),
        (b"A" * 20_000, 413),
        (b"OPTIONS * RTSP/1.0\r\n" + b"X: y\r\n" * 5000, 413),
    ],
)
def test_what_is_not_rtsp_or_too_large_is_refused(stream: bytes, status: int) -> None:
    with pytest.raises(MessageError) as caught:
        parsed(stream)
    assert caught.value.status == status


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    with suppress(MessageError):
        parsed(data)


def test_a_url_that_cannot_be_split_names_nothing() -> None:
    (request,) = parsed(b"DESCRIBE rtsp://[/x RTSP/1.0\r\n\r\n")
    assert isinstance(request, Request)
    assert request.camera is None


@pytest.mark.parametrize(
    ("header", "offer"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=0-1", TransportOffer(True, 0, 1)),
        ("RTP/AVP/TCP;interleaved=6-7;unicast", TransportOffer(True, 6, 7)),
        ("RTP/AVP/TCP;unicast", TransportOffer(True, 0, 1)),
        ("RTP/AVP;unicast;client_port=5000-5001", TransportOffer(False, 5000, 5001)),
        ("RTP/AVP/UDP;unicast;client_port=5000", TransportOffer(False, 5000, 5001)),
        ('rtp/avp;unicast;client_port=5000-5001;mode="PLAY"', TransportOffer(False, 5000, 5001)),
        ("RTP/AVP;multicast;port=1-2,RTP/AVP/TCP;interleaved=2-3", TransportOffer(True, 2, 3)),
        ("RTP/SAVP;unicast;client_port=5000-5001", None),
        ("RTP/AVP;multicast;client_port=5000-5001", None),
        ("RTP/AVP;unicast", None),
        ("RTP/AVP;unicast;client_port=0-1", None),
        ("RTP/AVP;unicast;client_port=65535", None),
        ("RTP/AVP/TCP;interleaved=0-256", None),
        ("RTP/AVP/TCP;interleaved=3-3", None),
        ("RTP/AVP/TCP;interleaved=x-y", None),
        ("RTP/AVP/TCP;interleaved=0-1;mode=record", None),
        ("", None),
    ],
)
def test_the_first_transport_that_we_can_serve(header: str, offer: TransportOffer | None) -> None:
    assert choose_transport(header) == offer


def test_a_camera_without_tcp_takes_the_first_udp() -> None:
    both = "RTP/AVP/TCP;interleaved=0-1,RTP/AVP;unicast;client_port=5000-5001"
    assert choose_transport(both, udp_only=True) == TransportOffer(False, 5000, 5001)
    assert choose_transport("RTP/AVP/TCP;interleaved=0-1", udp_only=True) is None


@pytest.mark.parametrize(
    ("path", "camera"),
    [("north", "north"), ("north/trackID=0", "north"), ("north/trackID=1", None), ("", None), ("a/b/c", None)],
)
def test_which_camera_a_path_names(path: str, camera: str | None) -> None:
    assert Request("PLAY", f"rtsp://h/{path}", "RTSP/1.0", {}).camera == camera


def test_answers_carry_cseq_and_the_length_of_their_body() -> None:
    answer = Response(200, {"Session": "1"}, "v=0\r\n").to_bytes("17").decode()
    assert answer == "RTSP/1.0 200 OK\r\nCSeq: 17\r\nSession: 1\r\nServer: syncsvc\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    assert Response(404).to_bytes(None).startswith(b"RTSP/1.0 404 Not Found\r\n")
