"""One virtual camera: a thread that opens the shutter on time, encodes, and hands each picture over with its truth."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from syncsvc.cameras import rtp
from syncsvc.cameras.clockwork import CameraClock, Moment, Shutter, read_moment
from syncsvc.cameras.scene import Encoder
from syncsvc.cameras.settings import CameraSpec
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.lifecycle import StopToken, Worker


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """One picture, ready for the wire: ``moment`` is its true instant, ``timestamp`` the same on the RTP clock."""

    counter: int
    moment: Moment
    timestamp: int
    payloads: tuple[bytes, ...]
    is_key: bool


@dataclass(slots=True)
class CaptureCounts:
    """What capture threads did at one place of a farm; ``skipped`` are times for which the machine was too slow."""

    captured: int = 0
    dropped: int = 0
    skipped: int = 0
    late_us_max: int = 0


class Camera:
    """Takes pictures from ``start`` to ``stop``.

    Args:
        spec: what it is like, to begin with.
        index: its place in the farm, which its pictures carry.
        origin_mono_ns: the farm's common instant, from which ``phase_ms`` counts.
        clock: the host's.
        deliver: called from the camera's thread with it and each picture.
        counts: go on where a camera before this one left them; a picture's number is how many were captured before.
    """

    def __init__(
        self,
        spec: CameraSpec,
        index: int,
        origin_mono_ns: int,
        clock: Clock,
        deliver: Callable[["Camera", EncodedPicture], None],
        counts: CaptureCounts,
    ) -> None:
        self.index, self.counts, self._skipped_before = index, counts, counts.skipped
        self.start_mono_ns = clock.monotonic_ns()
        self.spec = spec
        """As it is now, after events and changes."""
        self._host, self._deliver = clock, deliver
        self._random = random.Random(f"{spec.seed}/{index}/drop")
        drawn = random.Random(f"{spec.seed}/{index}/{counts.captured}/rtp").getrandbits(32)
        self.clock = CameraClock(spec, self.start_mono_ns, drawn if spec.rtp_base is None else spec.rtp_base)
        self._shutter = Shutter(spec, origin_mono_ns)
        self.encoder = Encoder(spec, index)
        self._keys_asked = self._keys_given = 0  # each written by one thread only
        self._events = list(spec.events)
        self._changing = threading.Lock()
        self._is_started = False
        self.worker = Worker(f"camera-{spec.name}", self._run)

    def is_reachable(self) -> bool:
        """Whether it would answer a client now."""
        uptime_ns = self._host.monotonic_ns() - self.start_mono_ns
        return self.worker.error is None and uptime_ns >= max(self.spec.start_delay_s, self.spec.refuse_s) * NS_PER_S

    def start(self) -> None:
        """Switch it on, once; nothing happens if it runs."""
        if not self._is_started:
            self._is_started = True
            self.worker.start()

    def stop(self) -> None:
        """Switch it off, and wait for its thread."""
        if self._is_started:
            self.worker.stop()

    def request_key(self) -> None:
        """Make the next picture a key picture."""
        self._keys_asked += 1

    def change(self, keys: Mapping[str, Any]) -> None:
        """Give it other values from the next picture on.

        Raises:
            UsageError: a key is unknown or fixed, or a value is not allowed; nothing has changed then.
        """
        with self._changing:
            spec = self.spec.changed(keys)
            self.clock.retune(spec, self._host.monotonic_ns())
            self.spec = spec

    def _run(self, stop: StopToken) -> None:
        if stop.sleep(self.spec.start_delay_s):
            return
        shot_with = self.spec
        while not stop.is_set:
            if self.spec is not shot_with:
                shot_with = self.spec
                self._shutter.retune(shot_with)
            now = self._host.monotonic_ns()
            due = self._shutter.next_due_ns(now)
            self.counts.skipped = self._skipped_before + self._shutter.skipped
            if stop.sleep((due - now) / NS_PER_S):
                return
            while self._events and due - self.start_mono_ns >= self._events[0].at_s * NS_PER_S:
                self.change(self._events.pop(0).set)
            self._take(due)

    def _take(self, due_ns: int) -> None:
        spec = self.spec
        if not self.encoder.spec.encodes_like(spec):
            self.encoder = Encoder(spec, self.index)
        keys_asked = self._keys_asked
        counter = self.counts.captured
        moment = read_moment(self._host)  # the true instant of capture: everything else derives from it
        self.counts.late_us_max = max(self.counts.late_us_max, (moment.mono_ns - due_ns) // 1000)
        if spec.drop_pct and self._random.random() * 100 < spec.drop_pct:
            self.counts.captured += 1
            self.counts.dropped += 1
            return
        force_key, self._keys_given = keys_asked > self._keys_given, keys_asked
        units = self.encoder.take(counter, moment.utc_ns // 1000, spec.noise, force_key=force_key)
        self.counts.captured += 1
        timestamp = self.clock.rtp(moment.mono_ns)
        payloads = tuple(rtp.packetise(units))
        self._deliver(self, EncodedPicture(counter, moment, timestamp, payloads, rtp.is_key_picture(units)))
