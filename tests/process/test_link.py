"""The pipe and its way back on real descriptors: whole messages, full pipes and sockets, a writer that is killed."""

import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection

import pytest
from msgspec import msgpack

from syncsvc.errors import LinkClosed, TransportError
from syncsvc.layout import MAX_EXTRADATA_BYTES, Codec, Layout
from syncsvc.testing import TINY, observation
from syncsvc.transport.link import LinkReader, LinkWriter, open_link
from syncsvc.transport.messages import DropMessage, EndMessage, FrameMessage, Message, RingMessage, encode
from syncsvc.transport.ring import RingReader, RingWriter


class Link:
    """Both ends in one process."""

    def __init__(self) -> None:
        reader, writer, ours, theirs = open_link()
        self.reader, self.writer = LinkReader(reader, ours), LinkWriter(writer, theirs)
        self.lease_socket = theirs

    def close(self) -> None:
        self.writer.close()
        self.reader.close()


@pytest.fixture
def link() -> Iterator[Link]:
    one = Link()
    yield one
    one.close()


def message(seq: int) -> FrameMessage:
    return FrameMessage(observation(seq, 5, 7, "pts", pts_ns=9), 1, seq % 8, 2, TINY.size_bytes)


def fill(link: Link) -> int:
    """Write until not even the smallest message fits; returns how many frames were written."""
    frames = 0
    while link.writer.send(message(frames)):
        frames += 1
    while link.writer.send(EndMessage()):
        pass
    return frames


def read_on(link: LinkReader, seq: int) -> None:
    """Read whole messages until the end."""
    while True:
        assert link.receive() == message(seq)
        seq += 1


def drain(link: Link) -> list[Message]:
    found = []
    while link.reader.poll(0):
        found.append(link.reader.receive())
    return found


def test_messages_come_in_order_and_the_end_after_them(link: Link) -> None:
    sent: list[Message] = [message(0), DropMessage(1, 2, "ring_full"), RingMessage(3, 4, 5), EndMessage()]
    assert all(link.writer.send(one) for one in sent)
    link.writer.close()
    assert [link.reader.receive() for _ in sent] == sent
    with pytest.raises(LinkClosed):
        link.reader.receive()


def test_a_descriptor_is_small_enough_to_be_written_whole() -> None:
    biggest = FrameMessage(
        observation(2**62 - 1, 2**62 - 1, 2**62, "media", 2**62, 2**62),
        2**32 - 1, 2**32 - 1, 2**62 - 1, 2**62 - 1,
    )  # fmt: skip
    assert len(encode(biggest)) + 4 <= 300


def test_a_full_pipe_refuses_without_writing_a_part(link: Link) -> None:
    sent = 0
    while link.writer.send(message(sent)):
        sent += 1
    assert sent > 300
    assert not link.writer.send(message(sent))
    assert not link.writer.wait_for_room(0)
    assert drain(link) == [message(seq) for seq in range(sent)]
    assert link.writer.wait_for_room(0)
    assert link.writer.send(message(sent))


def test_losses_wait_for_room_travel_as_one_and_come_before_what_follows(link: Link) -> None:
    sent = fill(link)
    for seq in range(sent, sent + 5):
        link.writer.drop(seq, "pipe_full")
    link.writer.drop(sent + 5, "ring_full")
    assert not link.writer.flush()
    assert not link.writer.send(message(sent + 6))
    drain(link)
    assert link.writer.send(message(sent + 6))
    assert drain(link) == [DropMessage(sent, 5, "pipe_full"), DropMessage(sent + 5, 1, "ring_full"), message(sent + 6)]


def test_a_writer_without_a_reader_is_told(link: Link) -> None:
    link.reader.close()
    with pytest.raises(LinkClosed):
        link.writer.send(message(0))
    with pytest.raises(LinkClosed):
        list(link.writer.returned())
    with pytest.raises(LinkClosed):
        link.writer.hand_over(RingWriter(1, 1, 1), TINY)


def test_leases_come_home(link: Link) -> None:
    link.reader.give_back([(1, 2)])
    link.reader.give_back([(1, 3), (2, 0)])
    assert link.writer.wait_for_lease(0)
    assert list(link.writer.returned()) == [(1, 2), (1, 3), (2, 0)]
    assert not link.writer.wait_for_lease(0)


def test_leases_survive_a_full_socket(link: Link) -> None:
    total = 5000
    for place in range(total):
        link.reader.give_back([(1, place)])
    home = list(link.writer.returned())
    assert 100 < len(home) < total, "the socket was full"
    for _ in range(total):  # each call takes along what did not fit before
        link.reader.give_back([])
        home += link.writer.returned()
        if len(home) == total:
            break
    assert home == [(1, place) for place in range(total)]


def test_leases_of_a_capture_that_is_gone_are_forgotten(link: Link) -> None:
    link.writer.close()
    link.reader.give_back([(1, 1)])
    link.reader.close()
    link.reader.give_back([(1, 2)])


def test_a_ring_is_handed_over_once_however_long_the_pipe_is_full(link: Link) -> None:
    rings = [RingWriter(ring_id, 1, 100) for ring_id in (1, 2)]
    fill(link)
    for _ in range(3):
        assert not link.writer.hand_over(rings[0], TINY)
    drain(link)
    assert link.writer.hand_over(rings[0], TINY)
    assert link.writer.hand_over(rings[1], TINY)
    for ring in rings:
        assert link.reader.receive() == RingMessage(ring.ring_id, 1, 100)
        fd, layout, _ = link.reader.take_ring(ring.ring_id)
        assert layout == TINY
        assert RingReader(fd).slot_bytes == 100
        os.close(fd)
        ring.close()


def test_a_ring_of_a_capture_that_left_without_its_leases_is_taken(link: Link) -> None:
    ring = RingWriter(1, 1, 100)
    assert link.writer.hand_over(ring, TINY)
    link.reader.give_back([(9, 0)])
    link.writer.close()
    ring.close()
    link.reader.receive()
    fd, *_ = link.reader.take_ring(1)
    assert RingReader(fd).slot_bytes == 100
    os.close(fd)


@pytest.mark.parametrize(
    "codec", [Codec("h264", b"\0\0\0\1sps"), Codec("vp9"), Codec("hevc", bytes(MAX_EXTRADATA_BYTES))]
)
def test_a_ring_brings_the_layout_of_the_frames_in_it_and_its_codec(link: Link, codec: Codec) -> None:
    layout = Layout("encoded", 64, 48, codec=codec)
    rings = [RingWriter(ring_id, 1, 100) for ring_id in (1, 2)]
    assert link.writer.hand_over(rings[0], layout)
    assert link.writer.hand_over(rings[1], TINY)
    for ring, expected in zip(rings, (layout, TINY), strict=True):
        link.reader.receive()
        fd, brought, _ = link.reader.take_ring(ring.ring_id)
        assert brought == expected
        os.close(fd)
        ring.close()


def test_a_ring_brings_the_layout_of_the_coded_pictures_behind_its_frames(link: Link) -> None:
    ring, coded = RingWriter(1, 1, 100), Layout("encoded", 64, 48, codec=Codec("h264", b"\0\0\0\1sps"))
    assert link.writer.hand_over(ring, TINY, 0, coded)
    link.reader.receive()
    fd, *brought = link.reader.take_ring(1)
    assert brought == [TINY, coded]
    os.close(fd)
    ring.close()


LOOK = {"format": "encoded", "width": 64, "height": 48, "codec": {"name": "h264"}}


def test_a_hand_over_by_its_words(link: Link) -> None:
    with open(os.devnull, "rb") as file:
        socket.send_fds(link.lease_socket, [msgpack.encode([1, LOOK])], [file.fileno()])
    fd, layout, _ = link.reader.take_ring(1)
    os.close(fd)
    assert layout == Layout("encoded", 64, 48, codec=Codec("h264"))


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"\1",
        b"\x91\1",
        b"\x92\1\x81\xa6format\xa1\xff",
        b"\x92\1\x81\xa1x" + 60_000 * b"\x91",
        msgpack.encode([2, LOOK]),
        msgpack.encode([1, LOOK | {"width": 0}]),
        msgpack.encode([1, LOOK | {"height": 65_536}]),
        msgpack.encode([1, LOOK | {"format": "i420"}]),
        msgpack.encode([1, LOOK | {"codec": None}]),
        msgpack.encode([1, LOOK | {"codec": {"name": "h264\n"}}]),
        msgpack.encode([1, LOOK | {"codec": {"name": "h264", "extradata": bytes(MAX_EXTRADATA_BYTES + 1)}}]),
    ],
)
def test_a_hand_over_that_is_none_of_ours_is_refused_and_closed(link: Link, data: bytes) -> None:
    with open(os.devnull, "rb") as file:
        socket.send_fds(link.lease_socket, [data], [file.fileno()])
    with pytest.raises(TransportError):
        link.reader.take_ring(1)


def test_a_ring_that_was_announced_and_never_came_is_an_error_of_the_transport(link: Link) -> None:
    link.writer.send(RingMessage(1, 1, 1))
    link.reader.receive()
    with pytest.raises(TransportError):
        link.reader.take_ring(1)


@pytest.mark.parametrize("data", [b"", b"F", b"\xff" * 100, b"cos\nsystem\n(S'true'\ntR."])
def test_bytes_that_are_no_message(data: bytes) -> None:
    reader, writer, ours, theirs = open_link()
    pipe, link = Connection(writer, readable=False), LinkReader(reader, ours)
    pipe.send_bytes(data)
    with pytest.raises(TransportError):
        link.receive()
    pipe.close()
    theirs.close()
    link.close()


def test_a_hostile_length_ends_the_link_at_once() -> None:
    reader, writer, ours, theirs = open_link()
    os.write(writer, struct.pack("!i", 2**31 - 1) + b"x" * 64)
    link = LinkReader(reader, ours)
    with pytest.raises(TransportError, match="2147483647 bytes"):
        link.receive()
    os.close(writer)
    theirs.close()
    link.close()


def test_all_that_waits_is_read_at_once_and_a_message_that_is_cut_is_put_together() -> None:
    reader, writer, ours, theirs = open_link()
    link, data = LinkReader(reader, ours), b""
    for seq in range(3):
        told = encode(message(seq))
        data += struct.pack("!i", len(told)) + told
    os.write(writer, data[:-5])
    assert [link.receive(), link.receive()] == [message(0), message(1)]
    assert not link.has_more
    os.write(writer, data[-5:] + data[: len(data) // 3 + 5])
    assert link.poll(0)
    assert link.receive() == message(2)
    assert link.receive() == message(0)
    os.close(writer)
    with pytest.raises(LinkClosed):
        link.receive()
    theirs.close()
    link.close()


def test_a_writer_killed_while_it_streams_never_leaves_half_a_message() -> None:
    for _ in range(20):
        reader, writer, ours, theirs = open_link()
        child = os.fork()
        if child == 0:  # no Python cleanup of the test's process may run here
            with suppress(BaseException):
                out, seq = LinkWriter(writer, theirs), 0
                os.set_blocking(writer, True)
                while True:
                    out.send(message(seq))
                    seq += 1
            os._exit(0)
        os.close(writer)
        theirs.close()
        link, seq = LinkReader(reader, ours), 0
        while seq < 300:
            assert link.receive() == message(seq)
            seq += 1
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with pytest.raises(LinkClosed, match="closed its pipe"):
            read_on(link, seq)
        link.close()
