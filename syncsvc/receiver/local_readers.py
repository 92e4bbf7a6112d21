"""Subscribers on this host, as the receiver sees them: a thread that hears them, and room in the rings they read."""

from collections.abc import Callable, Iterator, Mapping

from syncsvc.lifecycle import Worker
from syncsvc.publish.leases import held_ns_of
from syncsvc.publish.local import LocalOutlet
from syncsvc.wire import batch_topic


class LocalReaders:
    """The server's thread, and what was asked of the captures for its sake."""

    def __init__(self, server: LocalOutlet, on_failure: Callable[[str, BaseException], None]) -> None:
        self._server = server
        self._worker = Worker("local", server.run, on_failure)
        self._asked: dict[str, int] = {}

    def start(self) -> None:
        """Hear subscribers."""
        self._worker.start()

    def wishes(self, windows_ns: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, int]]:
        """Streams whose frames are held beyond their batch, each once, and for how long (ns).

        Args:
            windows_ns: by stream, its groups and the length of their windows. A stream that is not there any more is
                asked for anew when it returns, since its captures know nothing of before.
        """
        self._asked = {stream: span_ns for stream, span_ns in self._asked.items() if stream in windows_ns}
        for stream, groups in windows_ns.items():
            wanted = [window_ns for group, window_ns in groups.items() if self._server.wants(batch_topic(group))]
            span_ns = held_ns_of(max(wanted)) if wanted else 0
            if span_ns > self._asked.get(stream, 0):
                self._asked[stream] = span_ns
                yield stream, span_ns

    def stop(self, deadline_s: float) -> None:
        """Hang up; every lease is void."""
        self._worker.stop_token.set()
        self._server.stop_waiting()
        self._worker.join(deadline_s)
