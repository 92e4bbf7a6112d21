"""A URL that answers with one picture as a camera: it is asked again and again, at a pace of ours."""

from collections.abc import Iterator
from typing import Protocol

from syncsvc.capture.decode import UNKNOWN_FPS, Sighting
from syncsvc.capture.http_get import NOT_MODIFIED, Answer, Client
from syncsvc.capture.source import Pulse
from syncsvc.capture.spec import HttpSpec
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import AccessRefused, SourceUnavailable
from syncsvc.lifecycle import StopToken
from syncsvc.transport.page import Position


class PicturesOf(Protocol):
    """What reads the pictures of one answer."""

    def pictures_of(self, answer: Answer) -> Iterator[Sighting]:
        """They, in their order; none where it has no body."""
        ...


class StillsReader:
    """The pictures of such a URL; whoever pushes several in one answer is read to its end and not asked again.

    A camera that is asked for what has not changed says so (RFC 9110, 13.1), where it can, and is not asked for bytes.
    """

    declared_fps = None

    def __init__(
        self, spec: HttpSpec, client: Client, answer: Answer, reader: PicturesOf, pulse: Pulse, clock: Clock,
        stop: StopToken,
    ) -> None:  # fmt: skip
        self._spec, self._client, self._answer, self._said = spec, client, answer, answer.headers
        self._pulse, self._clock, self._stop = pulse, clock, stop
        self._reader = reader
        self._every_ns = round(spec.every_s * NS_PER_S)

    @property
    def fps(self) -> float:
        """How often it is asked; where an answer does not say how long it is, it may hold many pictures."""
        return 1 / self._spec.every_s if "content-length" in self._said else UNKNOWN_FPS

    def frames(self) -> Iterator[Sighting]:
        """A picture of each answer, or all that one pushes.

        Raises:
            SourceUnavailable: no answer with a picture for the read timeout, or two turns, whichever is longer.
        """
        answer: Answer | None = self._answer
        patience_ns = round(self._spec.timeouts_s[1] * NS_PER_S)
        due_ns = good_ns = self._clock.monotonic_ns()
        while not self._stop.is_set:
            try:
                if answer is None:
                    answer = self._client.get(self._spec.url, lines=self._unless_unchanged())
                count = 0
                for sighting in self._reader.pictures_of(answer):
                    count += 1
                    yield sighting
                if count > 1:
                    return
                if not count and answer.status != NOT_MODIFIED:
                    raise SourceUnavailable(self._spec.name, "answers without a picture")
                self._said = answer.headers if count else self._said
                good_ns = self._clock.monotonic_ns()
            except AccessRefused:
                raise
            except SourceUnavailable:
                if self._clock.monotonic_ns() - good_ns >= max(patience_ns, 2 * self._every_ns):
                    raise
            answer, due_ns = None, self._await_turn(due_ns)

    def _unless_unchanged(self) -> list[str]:
        """Header lines; dates count whole seconds, so they help only who does not ask more often."""
        said = self._said
        lines = [f"If-None-Match: {said['etag']}"] if "etag" in said else []
        if self._spec.every_s >= 1 and "last-modified" in said:
            lines.append(f"If-Modified-Since: {said['last-modified']}")
        return lines

    def _await_turn(self, due_ns: int) -> int:
        """Sleep until the next turn; returns when that was due. Turns that are over are not made up for."""
        self._pulse(Position.WAITING)
        now_ns = self._clock.monotonic_ns()
        due_ns = max(due_ns + self._every_ns, now_ns)
        self._stop.sleep((due_ns - now_ns) / NS_PER_S)
        self._pulse(Position.OPENING)
        return due_ns
