"""From a camera's thread to its clients: holds each picture until it is due on the wire, and keeps the account."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import msgspec

from syncsvc.cameras.camera import Camera, CaptureCounts, EncodedPicture
from syncsvc.cameras.clockwork import SendPath, read_moment
from syncsvc.cameras.session import MediaSession, SessionStats
from syncsvc.cameras.settings import CameraSpec
from syncsvc.clock import NS_PER_S, Clock

_KEPT_SESSIONS = 16


class CameraStats(msgspec.Struct, frozen=True):
    """One camera's account since the farm began: ``captured = dropped + withheld + queued + released``.

    ``dropped`` by the camera on purpose, ``withheld`` while frozen or by ``stop``, ``queued`` on their way to the wire,
    ``released`` to whoever was there, ``sent`` once per client. ``skipped`` were never captured: the machine was too
    slow. ``closed`` counts sessions by what ended them: ``client``, ``slow``, ``timeout``, ``camera``.
    """

    running: bool
    captured: int
    dropped: int
    withheld: int
    queued: int
    released: int
    sent: int
    skipped: int
    late_us_max: int
    closed: dict[str, int]
    sessions: list[SessionStats]
    ended_sessions: list[SessionStats]
    error: str = ""


class Mount:
    """One mount point: its camera while there is one, and the sessions that watch it. Lives in the event loop."""

    def __init__(self, spec: CameraSpec, index: int, origin_mono_ns: int, clock: Clock) -> None:
        self.spec, self.camera = spec, None
        self._index, self._origin_ns, self._clock = index, origin_mono_ns, clock
        self._loop = asyncio.get_running_loop()
        self._path = SendPath(spec.seed * 1_000_003 + index)
        self._queue: deque[tuple[int, EncodedPicture]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._sessions: dict[MediaSession, Callable[[str], None]] = {}
        self._ended: deque[SessionStats] = deque(maxlen=_KEPT_SESSIONS)
        self._closed: Counter[str] = Counter()
        self._counts = CaptureCounts()
        self._withheld = self._released = self._sent = 0

    camera: Camera | None

    async def load(self) -> None:
        """Make a camera ready, in a thread: its encoder takes tens of milliseconds, which would hold up the others."""
        if self.camera is None:
            arguments = (self.spec, self._index, self._origin_ns, self._clock, self._arrive, self._counts)
            self.camera = await asyncio.to_thread(Camera, *arguments)

    def switch_on(self) -> None:
        """Start the camera that was loaded; nothing happens if it runs."""
        if self.camera is not None:
            self.camera.start()

    def switch_off(self) -> None:
        """Stop the camera as if its power failed: what is on its way is lost, and the connections break."""
        if self.camera is None:
            return
        camera, self.camera = self.camera, None
        camera.stop()
        self._withheld += len(self._queue)
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for hang_up in list(self._sessions.values()):
            hang_up("camera")

    def change(self, keys: Mapping[str, Any]) -> None:
        """Other values for the camera, now or when it is next switched on.

        Raises:
            UsageError: nothing has changed.
        """
        self.spec = self.spec.changed(keys)
        if self.camera is not None:
            self.camera.change(keys)

    def add(self, session: MediaSession, hang_up: Callable[[str], None]) -> None:
        """Serve a session; ``hang_up(cause)`` is called when we end it."""
        self._sessions[session] = hang_up

    def remove(self, session: MediaSession, cause: str) -> None:
        """Serve it no more."""
        if self._sessions.pop(session, None) is not None:
            session.carrier.close()
            self._closed[cause] += 1
            session.pause()
            self._ended.append(session.stats())

    def _arrive(self, camera: Camera, picture: EncodedPicture) -> None:
        self._loop.call_soon_threadsafe(self._enqueue, camera, picture)

    def _enqueue(self, camera: Camera, picture: EncodedPicture) -> None:
        if camera is not self.camera or camera.spec.frozen:
            self._withheld += 1
            now = read_moment(self._clock)
            for session in self._sessions:
                session.report(now)
            return
        release = self._path.release_ns(camera.spec, picture.moment.mono_ns, camera.start_mono_ns)
        self._queue.append((release, picture))
        if self._timer is None:
            self._release()

    def _release(self) -> None:
        self._timer = None
        while self._queue:
            now = read_moment(self._clock)
            due = self._queue[0][0]
            if due > now.mono_ns:
                self._timer = self._loop.call_at(due / NS_PER_S, self._release)  # the loop runs on CLOCK_MONOTONIC
                return
            picture = self._queue.popleft()[1]
            self._released += 1
            for session, hang_up in list(self._sessions.items()):
                self._sent += session.send(picture, now)
                cause = session.ends(now.mono_ns)
                if cause:
                    hang_up(cause)

    def stats(self) -> CameraStats:
        """The account so far."""
        counts, error = replace(self._counts), self.camera.worker.error if self.camera is not None else None
        return CameraStats(
            running=self.camera is not None and error is None,
            **asdict(counts),
            withheld=self._withheld,
            queued=counts.captured - counts.dropped - self._withheld - self._released,
            released=self._released,
            sent=self._sent,
            closed=dict(self._closed),
            sessions=[session.stats() for session in self._sessions],
            ended_sessions=list(self._ended),
            error=repr(error) if error else "",
        )
