"""Health, metrics and status over HTTP on loopback, from the standard library; answers only names that are ours.

A foreign ``Host`` is refused (DNS rebinding), headers must come within two seconds, connections are few, nothing
is changed by a request.
"""

import errno
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

from syncsvc.errors import BindError
from syncsvc.observe.metrics import exposition

REQUEST_TIMEOUT_S = 2.0
MAX_CONNECTIONS = 32
SLACK_MS = 2000

Status = Callable[[], dict[str, Any]]


def readiness(status: dict[str, Any]) -> str | None:
    """Why the service is not ready; None when it is: sockets bound, and every group emits at its pace."""
    if not status["is_ready"]:
        return "the receiver is not up"
    for name, group in status["groups"].items():
        age_ms, longest_ms = group["last_batch_age_ms"], group["window_ms"] + group["max_latency_ms"] + SLACK_MS
        if age_ms is not None and age_ms > longest_ms:
            return f"group {name} has emitted nothing for {age_ms / 1000:.1f} s"
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    status: Status

    def __init__(self, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S
    server: _Server
    server_version = "syncsvc"
    sys_version = ""

    def do_GET(self) -> None:  # the name is the standard library's
        if not _is_loopback_name(self.headers.get("Host", "")):
            self._answer(421, "text/plain", b"this service answers on loopback names only\n")
            return
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(200, "text/plain", b"ok\n")
        elif path == "/readyz":
            problem = readiness(self.server.status())
            self._answer(503 if problem else 200, "text/plain", f"{problem or 'ready'}\n".encode())
        elif path == "/metrics":
            self._answer(200, "text/plain; version=0.0.4; charset=utf-8", exposition(self.server.status))
        elif path == "/api/status":
            self._answer(200, "application/json", json.dumps(self.server.status()).encode())
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
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Requests are not logged: health checks would fill the log."""


class HttpServer:
    """The server and its thread."""

    def __init__(self, bind: str, status: Status) -> None:
        """Bind.

        Args:
            bind: ``HOST:PORT``; port 0 takes a free one.
            status: gives what ``/api/status`` shows.

        Raises:
            BindError: the address is in use, or not to be had.
        """
        host, _, port = bind.rpartition(":")
        try:
            self._server = _Server((host.strip("[]"), int(port)))
        except OSError as error:
            what = "is already in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise BindError(f"http.bind {bind}", what or str(error)) from error
        self._server.status = status
        name, number = self._server.server_address[:2]
        self.address = f"[{name!s}]:{number}" if ":" in str(name) else f"{name!s}:{number}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="http", daemon=True)

    def start(self) -> None:
        """Serve from a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _is_loopback_name(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower()
    if name in ("localhost", ""):
        return bool(name)
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
