"""Runs a real daemon on free ports in a process tree of its own, and never leaves a process behind."""

import json
import tempfile
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec

from syncsvc.errors import LinkClosed
from syncsvc.observe.status import ServiceStatus
from syncsvc.programs import READY_S, LeashedProgram

_NURSERY = b"syncsvc.capture.nursery"


class DaemonRunner(LeashedProgram):
    """A real ``syncsvc run`` in a process tree of its own, while the ``with`` block lasts.

    Args:
        config: the configuration as plain values; ``publish`` and ``http`` get free ports where they are left out.

    Raises:
        LinkClosed: from ``with``: it ended, or did not become ready in time; the message has its last words.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__("syncsvc: ready ")
        self._config = {
            "publish": {"live": "tcp://127.0.0.1:0", "control": "tcp://127.0.0.1:0"},
            "http": {"bind": "127.0.0.1:0"},
            **config,
        }
        self.live = self.control = self.http = ""

    def __enter__(self) -> Self:
        with tempfile.TemporaryDirectory(prefix="syncsvc-") as folder:  # not longer: no SIGKILL leaves a file behind
            path = Path(folder, "config.yaml")
            path.write_text(json.dumps(self._config, indent=1), encoding="utf-8")  # JSON is YAML, and has no anchors
            self.start(["-m", "syncsvc", "run", "--log-format", "text", str(path)])
            try:
                if not self.await_ready(READY_S):
                    raise LinkClosed(f"the daemon did not become ready: {self.last_words}")
            except BaseException:  # a Ctrl-C too must leave nothing behind
                self.close()
                raise
        words = self.ready_words or {}
        self.live, self.control, self.http = (words.get(key, "") for key in ("live", "control", "http"))
        return self

    def status(self) -> ServiceStatus:
        """What ``/api/status`` says.

        Raises:
            LinkClosed: nobody answers.
        """
        try:
            with urllib.request.urlopen(f"{self.http}/api/status", timeout=5) as answer:
                return msgspec.json.decode(answer.read(), type=ServiceStatus)
        except OSError as error:
            raise LinkClosed(f"the daemon does not answer: {error}") from error

    def pids(self) -> dict[str, int]:
        """Process ids: ``daemon``, ``receiver``, ``nursery``, ``capture NAME`` per stream, of those that run now."""
        status = self.status()
        found = {"daemon": self.process.pid, "receiver": status.receiver.pid, "nursery": self._nursery_pid()}
        found |= {f"capture {name}": stream.pid for name, stream in status.streams.items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    def _nursery_pid(self) -> int | None:
        """The child of the daemon that captures are forked from, which no status tells of."""
        daemon = self.process.pid
        for child in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split():
            with suppress(OSError):  # gone meanwhile
                if _NURSERY in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def __exit__(self, *_: object) -> None:
        try:
            self.terminate()
            self.wait()
        finally:
            self.close()
