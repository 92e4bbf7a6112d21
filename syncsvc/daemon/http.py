"""Health, metrics and status over HTTP, from the standard library; who is let in is decided by ``http_door``.

Request line and headers must be there
two seconds after the connection, however they drip; connections are few, and the one that has kept us waiting longest
makes room for the next, so that a health check, which speaks at once, always gets through.
"""

import errno
import io
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.config.models import Config
from syncsvc.daemon.http_door import HttpDoor, own_names
from syncsvc.errors import BindError
from syncsvc.lifecycle import begin
from syncsvc.observe.status import ServiceStatus
from syncsvc.tls import names_of, server_context

REQUEST_TIMEOUT_S = 2.0
MAX_CONNECTIONS = 32
SLACK_MS = 2000
BREATHER_S = 0.2
"""Until somebody is let in again where no more descriptors can be open: who waits at the door stays readable."""
LOOPBACK_DOOR = HttpDoor()
SILENCE_MS = 1000
"""Without windows, a group emits after this time of silence too."""


def readiness(status: ServiceStatus) -> str | None:
    """Why the service is not ready; None when it is: sockets bound, and every group emits at its pace."""
    if not status.is_ready:
        return "the receiver is not up"
    for name, group in status.groups.items():
        age_ms = group.last_batch_age_ms
        longest_ms = (group.window_ms or SILENCE_MS) + group.max_latency_ms + SLACK_MS
        if age_ms is not None and age_ms > longest_ms:
            return f"group {name} has emitted nothing for {age_ms / 1000:.1f} s"
    return None


class _Connections:
    """Who is connected, at most MAX_CONNECTIONS: those that have yet to say what they want, and those we answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent: dict[socket.socket, None] = {}  # the order is that of their coming
        self._answered: set[socket.socket] = set()

    def admit(self, connection: socket.socket) -> bool:
        """Let one in, at the cost of the one that has been silent longest; false when all are being answered."""
        with self._lock:
            if len(self._silent) + len(self._answered) >= MAX_CONNECTIONS:
                longest = next(iter(self._silent), None)
                if longest is None:
                    return False
                del self._silent[longest]
                with suppress(OSError):  # it went by itself
                    longest.shutdown(socket.SHUT_RDWR)  # ends its thread's reading; the thread closes it
            self._silent[connection] = None
            return True

    def has_spoken(self, connection: socket.socket) -> None:
        """Its request is there: it stays until it is answered."""
        with self._lock:
            if connection in self._silent:
                del self._silent[connection]
                self._answered.add(connection)

    def leave(self, connection: socket.socket) -> None:
        """It is about to be closed."""
        with self._lock:
            self._silent.pop(connection, None)
            self._answered.discard(connection)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # of five, a burst would fill all, and a health check would wait a second for its next SYN
    status: Callable[[], ServiceStatus]
    door: HttpDoor
    tls: ssl.SSLContext | None = None

    def __init__(self, address: tuple[str, int], request_timeout_s: float) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.request_timeout_s = request_timeout_s
        self.connections = _Connections()
        self.is_short = False
        """No descriptor was to be had for the last one who came."""
        super().__init__(address, _Handler)

    def get_request(self) -> Any:
        """Take one in."""
        self.is_short = False
        try:
            connection, address = super().get_request()
        except OSError as error:
            self.is_short = not isinstance(error, BlockingIOError)  # else it went again
            raise
        if self.tls is not None:  # its thread shakes hands, when it reads
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.connections.admit(request):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        self.connections.leave(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away in the middle is no news."""


class _PunctualReader(io.RawIOBase):
    """Reads from a connection until a deadline, which no dripping moves."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._connection = connection
        self._deadline_ns = SYSTEM_CLOCK.monotonic_ns() + int(timeout_s * NS_PER_S)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_ns = self._deadline_ns - SYSTEM_CLOCK.monotonic_ns()
        if left_ns <= 0:
            raise TimeoutError("the request did not come in time")
        self._connection.settimeout(left_ns / NS_PER_S)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "syncsvc"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_PunctualReader(self.connection, self.server.request_timeout_s))

    def do_GET(self) -> None:  # the name is the standard library's
        self.server.connections.has_spoken(self.connection)
        self.connection.settimeout(self.server.request_timeout_s)  # for the answer, as a whole
        path = self.path.partition("?")[0]
        said = self.headers.get("Authorization", "")
        if refusal := self.server.door.refusal(self.headers.get("Host", ""), path, said):
            self._answer(refusal.code, "text/plain", refusal.text.encode())
            return
        if path == "/healthz":
            self._answer(200, "text/plain", b"ok\n")
        elif path == "/readyz":
            problem = readiness(self.server.status())
            self._answer(503 if problem else 200, "text/plain", f"{problem or 'ready'}\n".encode())
        elif path == "/metrics":
            from syncsvc.observe.exposition import exposition

            self._answer(200, "text/plain; version=0.0.4; charset=utf-8", exposition(self.server.status()))
        elif path == "/api/status":
            self._answer(200, "application/json", msgspec.json.encode(self.server.status()))
        else:
            self._answer(404, "text/plain", b"allowed: /healthz /readyz /metrics /api/status\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        if code == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Bearer realm="syncsvc"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Requests are not logged: health checks would fill the log."""


class HttpServer:
    """The server and its thread."""

    def __init__(
        self,
        bind: str,
        status: Callable[[], ServiceStatus],
        door: HttpDoor = LOOPBACK_DOOR,
        tls: ssl.SSLContext | None = None,
        *,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """Bind.

        Args:
            bind: ``HOST:PORT``; port 0 takes a free one.
            status: gives what ``/api/status`` shows.
            door: who is let in.
            tls: what it is encrypted with; None: it is not.
            request_timeout_s: how long after the connection the whole request must be there.

        Raises:
            BindError: the address is in use, or not to be had.
        """
        host, _, port = bind.rpartition(":")
        try:
            self._server = _Server((host.strip("[]"), int(port)), request_timeout_s)
        except OSError as error:
            what = "is already in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise BindError(f"http.bind {bind}", what or str(error)) from error
        self._server.status, self._server.door, self._server.tls = status, door, tls
        name, number = self._server.server_address[:2]
        self.address = f"[{name!s}]:{number}" if ":" in str(name) else f"{name!s}:{number}"
        self.url = f"{'http' if tls is None else 'https'}://{self.address}"
        self._server.timeout = 0
        self._over = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    def start(self) -> None:
        """Serve from a thread.

        Raises:
            BindError: the machine has no room for one.
        """
        try:
            begin(self._thread)
        except BlockingIOError as error:
            raise BindError(f"http.bind {self.address}", str(error.strerror)) from error

    def stop(self) -> None:
        """End the thread and close the socket."""
        os.eventfd_write(self._over, 1)
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join()
        self._server.server_close()
        os.close(self._over)

    def _serve(self) -> None:
        """Sleep until somebody comes or it is over; ``serve_forever`` would look several times a second."""
        poller, end = select.poll(), select.poll()
        poller.register(self._server, select.POLLIN)
        for one in (poller, end):
            one.register(self._over, select.POLLIN)
        while not any(fd == self._over for fd, _ in poller.poll()):
            self._server.handle_request()
            if self._server.is_short and end.poll(BREATHER_S * 1000):
                return


def admission(config: Config) -> tuple[HttpDoor, ssl.SSLContext | None]:
    """The rules of a configuration, and what HTTP is encrypted with; None: it is not.

    Raises:
        ConfigError: the files of the certificate are not what they were when the configuration was read.
    """
    token, tls = config.security.http_token if config.security else None, config.http.tls if config.http else None
    if tls is None:
        return HttpDoor(token, own_names()), None
    context = server_context(tls.cert, tls.key)
    return HttpDoor(token, own_names() | names_of(tls.cert, context)), context
