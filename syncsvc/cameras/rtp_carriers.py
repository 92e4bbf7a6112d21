"""The two ways of RTP to a client: inside its RTSP connection, bounded, or as datagrams."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence

from syncsvc.clock import NS_PER_S

MAX_BACKLOG_BYTES = 4 * 1024 * 1024
SOCKET_BUFFER_BYTES = 256 * 1024  # without a bound the kernel would hold minutes of a slow client's video


class TcpCarrier:
    """RTP inside the RTSP connection; what the client does not read waits, within bounds of bytes and age."""

    transport = "tcp"

    def __init__(self, stream: asyncio.WriteTransport, channels: tuple[int, int], max_backlog_s: float) -> None:
        self._stream, self._channels = stream, channels
        self._max_backlog_ns = round(max_backlog_s * NS_PER_S)
        self._written = 0
        self._unread: deque[tuple[int, int]] = deque()  # (bytes written up to here, when)

    def send_rtp(self, packets: Sequence[bytes]) -> int:
        """Queue them all; how many the machine refused to take: none."""
        self._write(self._channels[0], packets)
        return 0

    def send_rtcp(self, packet: bytes) -> None:
        """Queue it, in order with the pictures."""
        self._write(self._channels[1], (packet,))

    def _write(self, channel: int, packets: Sequence[bytes]) -> None:
        if self._stream.is_closing():
            return
        chunks = [part for packet in packets for part in (b"$%c" % channel + len(packet).to_bytes(2, "big"), packet)]
        data = b"".join(chunks)
        self._stream.write(data)
        self._written += len(data)

    def is_overdue(self, now_ns: int) -> bool:
        """Whether the bound of bytes or of age is passed."""
        waiting = self._stream.get_write_buffer_size()
        if not waiting:
            self._unread.clear()
            return False
        self._unread.append((self._written, now_ns))
        while self._unread and self._unread[0][0] <= self._written - waiting:
            self._unread.popleft()
        oldest_ns = self._unread[0][1] if self._unread else now_ns
        return waiting > MAX_BACKLOG_BYTES or now_ns - oldest_ns > self._max_backlog_ns

    def close(self) -> None:
        """Nothing is ours: the connection closes itself."""


class UdpCarrier:
    """A pair of sockets, an even port for RTP and the next one for RTCP (RFC 3550 section 11)."""

    transport = "udp"

    def __init__(self, local: str, remote: str, ports: tuple[int, int], on_report: Callable[[bytes], None]) -> None:
        self._sockets = _udp_pair(local)
        self._targets = ((remote, ports[0]), (remote, ports[1]))
        self._on_report = on_report
        self._loop = asyncio.get_running_loop()
        for index, sock in enumerate(self._sockets):
            self._loop.add_reader(sock.fileno(), self._read, sock, index == 1)

    @property
    def ports(self) -> tuple[int, int]:
        """Our ports, as SETUP tells them."""
        first, second = (sock.getsockname()[1] for sock in self._sockets)
        return first, second

    def _read(self, sock: socket.socket, is_rtcp: bool) -> None:
        with contextlib.suppress(OSError):  # an ICMP answer to what we sent shows up here; it means nothing to us
            data = sock.recv(2048)
            if is_rtcp:
                self._on_report(data)

    def send_rtp(self, packets: Sequence[bytes]) -> int:
        """Send them; how many found no room in the socket's buffer."""
        return sum(not self._send(0, packet) for packet in packets)

    def send_rtcp(self, packet: bytes) -> None:
        """Send it, or lose it."""
        self._send(1, packet)

    def _send(self, index: int, packet: bytes) -> bool:
        try:
            self._sockets[index].sendto(packet, self._targets[index])
        except OSError:  # the socket's buffer is full, or the client's host is gone: lost, as on any network
            return False
        return True

    def is_overdue(self, now_ns: int) -> bool:
        """Never: what is not read is lost."""
        return False

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()


Carrier = TcpCarrier | UdpCarrier
"""The way to a client."""


def _udp_pair(local: str) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    for _ in range(64):
        first, second = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        try:
            first.bind((local, 0))
            port = first.getsockname()[1]
            if port % 2 == 0:
                second.bind((local, port + 1))
                first.setblocking(False)
                second.setblocking(False)
                first.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)  # a key picture is one burst
                return first, second
        except OSError:  # somebody has the odd port: try another pair
            pass
        first.close()
        second.close()
    raise OSError("no pair of UDP ports is free")
