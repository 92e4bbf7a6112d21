"""From our call at a camera to libavformat: it believes to call by itself, and gets the very same connection.

libav connects to a port of ours on loopback. What the camera said already is said again; SETUP and PLAY go on to the
camera, and its replies come back as libav understands them: with a challenge that it can answer, and never with another
address. When the camera plays, its connection takes the place of ours in libav's descriptor (``exchange``), so that
nobody stands in the way of the pictures. Only what is encrypted goes through us, who have the keys, to the end.
"""

import select
import socket
import ssl
from contextlib import suppress
from typing import Final, Literal
from urllib.parse import quote

from syncsvc.capture.exchange import descriptor_of, hand_over
from syncsvc.capture.rtsp_call import RtspCall
from syncsvc.capture.rtsp_messages import NotRtsp, RtspMessage, Wire
from syncsvc.capture.rtsp_session import RtspSession
from syncsvc.errors import SourceUnavailable
from syncsvc.lifecycle import StopToken, Worker

Transport = Literal["auto", "tcp", "udp"]
MAX_USERINFO_BYTES: Final = 127
"""What libavformat has room for."""
_CHUNK_BYTES: Final = 1 << 16
_TCP_REFUSED: Final = frozenset({400, 404, 405, 406, 415, 459, 461, 500, 501, 551})
"""How cameras that have UDP alone answer who asks for TCP; 461 is the right one."""


class RtspBridge:
    """What stands between libav and a camera until it plays, and keeps the session alive afterwards."""

    def __init__(self, call: RtspCall, transport: Transport) -> None:
        """Listen for libav, in a thread.

        Raises:
            SourceUnavailable: user and password are too long.
        """
        self._call, self._transport = call, transport
        user = f"{quote(call.user, safe='')}:{quote(call.password, safe='')}@" if call.challenge else ""
        if len(user) > MAX_USERINFO_BYTES:
            raise call.failed(
                f"user and password are longer than the {MAX_USERINFO_BYTES} bytes that libavformat takes"
            )
        self._camera = call.wire
        family = self._camera.connection.family  # from it libav takes that of its UDP ports
        home = "[::1]" if family == socket.AF_INET6 else "127.0.0.1"
        self._listener = socket.create_server((home.strip("[]"), 0), family=family, backlog=1)
        self.url = f"rtsp://{user}{home}:{self._listener.getsockname()[1]}{call.place.path}"
        """What libav is to open."""
        self.session = RtspSession(call)
        self.problem: SourceUnavailable | None = None
        """What went wrong on the way, in words."""
        self._libav: Wire | None = None
        self._asked: dict[str, RtspMessage] = {}
        self._worker = Worker("rtsp", self._serve).start()

    @property
    def options(self) -> dict[str, str]:
        """Of libav, for the transport."""
        if self._transport == "auto":
            return {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"}
        return {"rtsp_transport": self._transport}

    def close(self) -> None:
        """Let go of the camera; libav did."""
        self._worker.stop_token.set()
        for end in (self._listener, self._camera.connection, self._libav.connection if self._libav else None):
            if end is not None:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # wakes the thread where it waits
        self._worker.join(5.0)
        self._hang_up()
        self._listener.close()

    # The thread.

    def _serve(self, stop: StopToken) -> None:
        try:
            libav, descriptor = self._accept()
            self._listener.close()
            self._introduce(libav)
            if isinstance(self._camera.connection, ssl.SSLSocket):
                self._carry(libav, self._camera.connection)
            else:
                hand_over(self._camera.connection, descriptor, libav.connection, stop)
                self.session.keep_alive(stop)
        except SourceUnavailable as problem:
            self.problem = problem
        except NotRtsp as error:
            self.problem = self._call.failed(f"it does not speak RTSP as we do: '{error.seen:.40}'")
        except (OSError, EOFError) as error:
            if not self.session.is_playing:
                is_late = isinstance(error, TimeoutError)
                self.problem = self._call.failed(self._call.too_late if is_late else "it hung up before it played")
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._libav is not None:
            self._libav.connection.close()

    def _accept(self) -> tuple[Wire, int]:
        """The connection that is from this very process, and its other end's descriptor: anybody may call at a port."""
        while True:
            self._listener.settimeout(self._call.patience.left_s())
            connection, _ = self._listener.accept()
            descriptor = descriptor_of(connection)
            if descriptor is not None:
                self._libav = Wire(connection, self._call.patience.left_s)
                return self._libav, descriptor
            connection.close()

    def _introduce(self, libav: Wire) -> None:
        """Go between until the camera plays; the last reply that says so is on its way then.

        Raises:
            EOFError: one of them hung up.
        """
        camera = self._camera
        while not self.session.is_playing:
            for wire in self._readable(libav, camera):
                came = wire.read()
                if came is None:
                    raise EOFError
                if isinstance(came, RtspMessage) and wire is libav:
                    came = self._ask(libav, came)
                elif isinstance(came, RtspMessage) and came.status:
                    came = self._translated(came)
                if came is not None:
                    (camera if wire is libav else libav).write(bytes(came))

    def _readable(self, *wires: Wire) -> list[Wire]:
        waiting = [wire for wire in wires if isinstance(wire.connection, ssl.SSLSocket) and wire.connection.pending()]
        if waiting:
            return waiting
        found = select.select([wire.connection for wire in wires], [], [], self._call.patience.left_s())[0]
        return [wire for wire in wires if wire.connection in found]

    def _ask(self, libav: Wire, request: RtspMessage) -> RtspMessage | None:
        """What the camera is to be asked; where it has said that already, libav has its answer."""
        cseq, reply = request.value("CSeq"), None
        if request.method == "OPTIONS":
            reply = self._call.greeting
        elif request.method == "DESCRIBE":
            reply = self._call.description
            challenge = self._call.challenge
            if challenge is not None and not request.value("Authorization"):
                reply = RtspMessage.reply(401, "Unauthorized", {"WWW-Authenticate": challenge.header})
        if reply is None:
            self._asked[cseq] = request
            return request
        kept = {name: reply.value(name) for name in ("Public", "Server", "WWW-Authenticate") if reply.value(name)}
        if reply is self._call.description:
            kept |= {"Content-Type": "application/sdp", "Content-Base": self._call.base}
        libav.write(bytes(RtspMessage.reply(reply.status, "OK", {"CSeq": cseq} | kept, reply.body)))
        return None

    def _translated(self, reply: RtspMessage) -> RtspMessage:
        """The camera's reply as libav is to see it.

        Raises:
            SourceUnavailable: it is a refusal.
        """
        request = self._asked.get(reply.value("CSeq"))
        if request is None or request.method not in ("SETUP", "PLAY"):
            return reply
        if reply.status == 401:
            challenge = self._call.let_in(reply.values("WWW-Authenticate"))
            if challenge is None or (request.value("Authorization") and not challenge.is_stale):
                raise self._call.refusal(reply)
            self._call.challenge = challenge
            return reply.with_header("WWW-Authenticate", challenge.header)
        if reply.status >= 300:
            return self._refused(request, reply)
        self.session.learn(request, reply)
        if request.method == "SETUP" and not _is_tcp(request):
            return self._with_source(reply)
        return reply

    def _refused(self, request: RtspMessage, reply: RtspMessage) -> RtspMessage:
        is_tcp = request.method == "SETUP" and _is_tcp(request)
        if is_tcp and self._transport == "auto" and reply.status in _TCP_REFUSED:
            return RtspMessage("RTSP/1.0 461 Unsupported Transport", (("CSeq", reply.value("CSeq")),))
        if reply.status == 461 and request.method == "SETUP":
            have, other = ("TCP", "udp") if is_tcp else ("UDP", "tcp")
            raise self._call.failed(
                f"{reply.reason}: it does not send over {have}: set `transport: {other}`, or `auto`"
            )
        raise self._call.refusal(reply)

    def _with_source(self, reply: RtspMessage) -> RtspMessage:
        """Where datagrams come from and go to: the camera, not us, whom libav believes to speak with."""
        transport = reply.value("Transport")
        if "source=" in transport.lower():
            return reply
        peer = self._camera.connection.getpeername()[0]
        return reply.with_header("Transport", f"{transport};source={peer}")

    def _carry(self, libav: Wire, camera: ssl.SSLSocket) -> None:
        """Go between to the end: nobody else can decrypt it."""
        for connection in (camera, libav.connection):
            connection.settimeout(None)  # whoever waits too long hangs up, and that ends it
        while True:
            ready: list[socket.socket] = [camera]
            if not camera.pending():
                ready = select.select([camera, libav.connection], [], [], self.session.pause_s)[0]
            if not ready:
                self.session.say_that_we_are_here()
            for one in ready:
                data = one.recv(_CHUNK_BYTES)
                if not data:
                    return
                (libav.connection if one is camera else camera).sendall(data)


def _is_tcp(request: RtspMessage) -> bool:
    return "TCP" in request.value("Transport").upper()
