"""The RTSP server of a farm: what clients may ask for, and when we end them; asyncio, one thread for all cameras."""

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from syncsvc.cameras import rtp
from syncsvc.cameras.camera import Camera
from syncsvc.cameras.mount import Mount
from syncsvc.cameras.rtp_carriers import SOCKET_BUFFER_BYTES, Carrier, TcpCarrier, UdpCarrier
from syncsvc.cameras.rtsp import (
    MAX_HEAD_BYTES,
    MessageError,
    Request,
    Response,
    TransportOffer,
    choose_transport,
    read_message,
)
from syncsvc.cameras.session import MediaSession
from syncsvc.cameras.settings import CameraSpec, check_specs
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import BindError, UsageError

MAX_CONNECTIONS: Final = 256
SILENT_S: Final = 10.0  # for a connection that has never asked for anything


class Connection:
    """One client: answers in order, and owns at most one session."""

    def __init__(self, farm: "Farm", requests: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._farm, self._requests, self._stream = farm, requests, writer.transport
        self._session: MediaSession | None = None
        self._mount: Mount | None = None
        self._heard_ns = SYSTEM_CLOCK.monotonic_ns()
        self._has_asked = False
        self._answers: Mapping[str, Callable[[Request], Response]] = {
            "OPTIONS": self._options,
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "PAUSE": self._pause,
            "TEARDOWN": self._teardown,
            "GET_PARAMETER": self._parameter,
            "SET_PARAMETER": self._parameter,
        }
        self._public = {"Public": ", ".join(self._answers)}

    async def serve(self) -> None:
        """Answer until one of us hangs up."""
        try:
            while not self._stream.is_closing():
                message = await read_message(self._requests)
                self._heard_ns = SYSTEM_CLOCK.monotonic_ns()
                if isinstance(message, bytes):
                    self._count_report(message)
                else:
                    self._has_asked = True
                    self._stream.write(self._answer(message).to_bytes(message.headers.get("cseq")))
        except MessageError as error:
            self._stream.write(Response(error.status).to_bytes(None))
        except (EOFError, OSError):
            pass  # the client is gone
        finally:
            self._end_session("client")
            self._stream.close()

    def hang_up(self, cause: str) -> None:
        """End the connection; a client that does not read is not waited for."""
        self._end_session(cause)
        if cause == "slow" or self._stream.get_write_buffer_size():
            self._stream.abort()
        else:
            self._stream.close()

    def check_alive(self, now_ns: int) -> None:
        """End a connection that nobody seems to use; one that takes pictures over TCP shows itself by reading."""
        session = self._session
        if session is not None and session.account.playing and session.carrier.transport == "tcp":
            return
        limit_s = self._farm.session_timeout_s if self._has_asked else min(SILENT_S, self._farm.session_timeout_s)
        if now_ns - self._heard_ns > limit_s * NS_PER_S:
            self.hang_up("timeout")

    def _count_report(self, payload: bytes) -> None:
        self._heard_ns = SYSTEM_CLOCK.monotonic_ns()
        if self._session is not None and len(payload) >= 8 and payload[0] >> 6 == 2:
            self._session.account.reports_received += 1

    def _end_session(self, cause: str) -> None:
        if self._session is not None and self._mount is not None:
            self._mount.remove(self._session, cause)
        self._session = self._mount = None

    def _answer(self, request: Request) -> Response:
        if request.version != "RTSP/1.0":
            return Response(505)
        if "cseq" not in request.headers:
            return Response(400)
        if request.method not in self._answers:
            return Response(501, self._public)
        if "require" in request.headers:
            return Response(551, {"Unsupported": request.headers["require"]})
        return self._answers[request.method](request)

    def _options(self, request: Request) -> Response:
        return Response(200, self._public)

    def _describe(self, request: Request) -> Response:
        found = self._farm.find(request)
        if found is None:
            return Response(404)
        accepted = request.headers.get("accept", "*/*").lower()
        if "application/sdp" not in accepted and "*/*" not in accepted:
            return Response(406)
        host = self._stream.get_extra_info("sockname")[0]
        camera = found[1]
        session_id, spec = camera.start_mono_ns // NS_PER_S, camera.spec
        sdp = rtp.session_description(spec.name, host, spec.fps, camera.encoder.parameter_sets, session_id)
        base = request.url.split("?")[0].rstrip("/") + "/"
        return Response(200, {"Content-Type": "application/sdp", "Content-Base": base}, sdp)

    def _setup(self, request: Request) -> Response:
        found = self._farm.find(request)
        if found is None:
            return Response(404)
        if self._session is not None:
            if self._session.account.playing:
                return Response(455)
            if request.headers.get("session", self._session.id).split(";")[0] != self._session.id:
                return Response(454)
        offer = choose_transport(request.headers.get("transport", ""), udp_only=found[1].spec.udp_only)
        if offer is None:
            return Response(461)
        try:
            carrier, chosen = self._open_carrier(offer)
        except OSError:  # no pair of ports is free, or the client's address cannot be reached from here
            return Response(461)
        self._end_session("client")  # a client may ask again with another transport
        mount, camera = found
        client = "{}:{}".format(*self._stream.get_extra_info("peername")[:2])
        seed = f"{mount.spec.seed}/{mount.spec.name}/{next(self._farm.session_numbers)}"
        self._session, self._mount = MediaSession(camera, carrier, client, seed), mount
        mount.add(self._session, self.hang_up)
        return self._with_session(Transport=f"{chosen};ssrc={self._session.sender.ssrc:08X}")

    def _open_carrier(self, offer: TransportOffer) -> tuple[Carrier, str]:
        first, second = offer.first, offer.second
        if offer.is_tcp:
            tcp = TcpCarrier(self._stream, (first, second), self._farm.max_backlog_s)
            return tcp, f"RTP/AVP/TCP;unicast;interleaved={first}-{second}"
        local, remote = (self._stream.get_extra_info(name)[0] for name in ("sockname", "peername"))
        udp = UdpCarrier(local, remote, (first, second), self._count_report)
        ports = "{}-{}".format(*udp.ports)
        return udp, f"RTP/AVP;unicast;client_port={first}-{second};server_port={ports}"

    def _with_session(self, **headers: str) -> Response:
        if self._session is None:
            raise RuntimeError("there is no session to speak of")
        timeout_s = round(self._farm.session_timeout_s)
        return Response(200, {**headers, "Session": f"{self._session.id};timeout={timeout_s}"})

    def _named_session(self, request: Request) -> MediaSession | None:
        """Our session, if it is the one that the request speaks of."""
        session, name = self._session, request.headers.get("session", "").split(";")[0].strip()
        return session if session is not None and name == session.id else None

    def _play(self, request: Request) -> Response:
        session = self._named_session(request)
        if session is None:
            return Response(454)
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        timestamp = session.camera.clock.rtp(now_ns)
        if not session.account.playing:
            session.play(now_ns)
        base = request.url.rstrip("/").removesuffix("/" + rtp.TRACK)
        info = f"url={base}/{rtp.TRACK};seq={session.sender.next_seq};rtptime={timestamp}"
        return self._with_session(**{"Range": "npt=now-", "RTP-Info": info})

    def _pause(self, request: Request) -> Response:
        session = self._named_session(request)
        if session is None:
            return Response(454)
        session.pause()
        return self._with_session()

    def _teardown(self, request: Request) -> Response:
        if self._named_session(request) is None:
            return Response(454)
        self._end_session("client")
        return Response(200)

    def _parameter(self, request: Request) -> Response:
        if "session" in request.headers and self._named_session(request) is None:
            return Response(454)
        if request.body.strip():
            return Response(451)
        return self._with_session() if self._session is not None else Response(200)


class Farm:
    """Cameras and their server, in the running event loop.

    Args:
        specs: the cameras; the index of each is the stream id in its pictures.
        host: an address of ours; there is no password on these cameras.
        port: 0 takes a free one.
        session_timeout_s: silence after which a client is gone, as SETUP tells it.
        max_backlog_s: how old the oldest unread byte of a client may get before we drop the client.

    Raises:
        UsageError: no cameras, too many, or a name twice.
        BindError: from ``async with``: the address is taken, or not ours.
    """

    def __init__(
        self,
        specs: Sequence[CameraSpec],
        host: str,
        port: int,
        session_timeout_s: float = 60.0,
        max_backlog_s: float = 5.0,
    ) -> None:
        check_specs(specs)
        self.host, self.port = host, port
        self.session_timeout_s, self.max_backlog_s = session_timeout_s, max_backlog_s
        self.session_numbers = itertools.count(1)
        origin_ns = SYSTEM_CLOCK.monotonic_ns()
        self._mounts = {spec.name: Mount(spec, index, origin_ns, SYSTEM_CLOCK) for index, spec in enumerate(specs)}
        self._connections: dict[Connection, asyncio.Task[None]] = {}  # the loop itself does not hold on to a task

    @property
    def urls(self) -> dict[str, str]:
        """One URL per camera."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return {name: f"rtsp://{host}:{self.port}/{name}" for name in self._mounts}

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=MAX_HEAD_BYTES)
        except socket.gaierror as error:
            raise BindError(f"rtsp://{self.host}:{self.port}", str(error.strerror)) from error
        except OSError as error:
            problem = os.strerror(error.errno) if error.errno else str(error)  # asyncio's own text repeats the address
            raise BindError(f"rtsp://{self.host}:{self.port}", problem) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = asyncio.create_task(self._sweep())
        for mount in self._mounts.values():
            await mount.load()
        for mount in self._mounts.values():
            mount.switch_on()
        return self

    async def __aexit__(self, *_: object) -> None:
        for mount in self._mounts.values():
            mount.switch_off()
        self._sweeper.cancel()
        self._server.close()
        while self._connections:
            for connection in self._connections:
                connection.hang_up("camera")
            await asyncio.sleep(0)  # lets them end

    def _accept(self, requests: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.write(Response(503).to_bytes(None))
            writer.close()
            return
        connection = Connection(self, requests, writer)
        self._connections[connection] = serving = asyncio.create_task(connection.serve())
        serving.add_done_callback(lambda _: self._connections.pop(connection))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.session_timeout_s / 4))
            for connection in list(self._connections):
                connection.check_alive(SYSTEM_CLOCK.monotonic_ns())

    def find(self, request: Request) -> tuple[Mount, Camera] | None:
        """The mount that the request's URL names, and its camera, if that can be reached."""
        mount = self._mounts.get(request.camera or "")
        camera = mount.camera if mount is not None else None
        return (mount, camera) if mount is not None and camera is not None and camera.is_reachable() else None

    def mount(self, name: str) -> Mount:
        """One camera's place.

        Raises:
            UsageError: there is no such camera.
        """
        if name not in self._mounts:
            raise UsageError(f"camera {name!r}: unknown; there are {', '.join(self._mounts)}")
        return self._mounts[name]
