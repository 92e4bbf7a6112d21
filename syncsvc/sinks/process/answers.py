"""The thread that publishes: waits for one call after the other, in order, and sends what came of it."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from syncsvc.certificates import Guard
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import CallCancelled, UsageError, WorkerDied
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.observe.figures import Figures
from syncsvc.pool.calls import PoolCall
from syncsvc.sinks.process.result_outlet import ResultOutlet
from syncsvc.wire.result import ResultIdentity, ResultOrigin, encode_result, result_topic

_LOOK_S = 0.1
_KEPT = 10_000
_END_NS = 5 * NS_PER_S


@dataclass(slots=True)
class ResultTally:
    """What was published; ``errors`` are calls that raised, or took too long, or took their workers along."""

    published: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Of those published, by the name of what was raised."""
    unsendable: int = 0
    """Results that no message can hold: published as errors too."""
    spent_ns: list[int] = field(default_factory=list)
    first_error: str = ""

    def spent_ms(self) -> Figures:
        """How long the function took, of the last ten thousand."""
        return Figures.of([spent / NS_PER_MS for spent in self.spent_ns])


class Answers:
    """Takes calls in order from one thread; has the socket in a thread of its own."""

    def __init__(self, endpoint: str, target: str, guard: Guard | None = None) -> None:
        """Bind; over TCP for those alone whom the ``guard`` knows, where there is one.

        Raises:
            BindError: the endpoint is in use, or not to be had.
        """
        self.tally, self.endpoint = ResultTally(), ""
        self._wanted, self._target, self._guard = endpoint, target, guard
        self._queue: SimpleQueue[tuple[ResultIdentity, PoolCall]] = SimpleQueue()
        self._numbers: Counter[str] = Counter()
        self._is_begun, self._has_ended = threading.Event(), False
        self._worker = Worker("syncsvc-results", self._run, lambda *_: self._is_begun.set()).start()
        self._is_begun.wait()
        if self._worker.error is not None:
            raise self._worker.error

    def put(self, identity: ResultIdentity, call: PoolCall) -> None:
        """One more."""
        self._queue.put((identity, call))

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._worker.error is not None:
            raise self._worker.error

    def finish(self, *, is_over: bool, give_up: Callable[[], None], on_look: Callable[[], None] = lambda: None) -> None:
        """Publish what is under way, say how it ends, and leave.

        Args:
            is_over: everything was taken: no result will come any more. Where not, calls have some seconds.
            give_up: called then.
            on_look: called again and again meanwhile.
        """
        self._has_ended = is_over
        self._worker.stop_token.set()
        due_ns = SYSTEM_CLOCK.monotonic_ns() + _END_NS
        while not self._worker.join(_LOOK_S):
            on_look()
            if not is_over and SYSTEM_CLOCK.monotonic_ns() > due_ns:
                give_up()
        self.check()

    def _run(self, stop: StopToken) -> None:
        with ResultOutlet(self._wanted, self._guard) as outlet:
            self.endpoint = outlet.endpoint
            self._is_begun.set()
            while True:
                is_last = stop.is_set
                try:
                    identity, call = self._queue.get(timeout=_LOOK_S)
                except Empty:
                    outlet.look()
                    if is_last:
                        break
                    continue
                while not call.wait(_LOOK_S):
                    outlet.look()
                outlet.look()
                self._publish(outlet, identity, call)
            outlet.end(is_over=self._has_ended)

    def _publish(self, outlet: ResultOutlet, identity: ResultIdentity, call: PoolCall) -> None:
        origin = ResultOrigin(
            target=self._target,
            pool_id=outlet.pool_id,
            number=self._numbers[identity.group],
            spent_ns=call.spent_ns,
            emitted_ns=SYSTEM_CLOCK.utc_ns(),
        )
        value, error = self._outcome(call)
        try:
            header, payloads = encode_result(identity, origin, value, error)
        except UsageError as problem:
            self.tally.unsendable += 1
            self._note("UsageError", str(problem))
            header, payloads = encode_result(identity, origin, None, str(problem))
        outlet.send([result_topic(identity.group), header, *payloads])
        self._numbers[identity.group] += 1
        self.tally.published += 1
        if error is None:
            self.tally.spent_ns.append(call.spent_ns)
            del self.tally.spent_ns[:-_KEPT]

    def _outcome(self, call: PoolCall) -> tuple[object, str | None]:
        try:
            return call.get(), None
        except (CallCancelled, WorkerDied, TimeoutError) as error:
            name, text = type(error).__name__, str(error)
        except Exception as error:  # whatever the user's function raised
            name, text = type(error).__name__, f"{type(error).__name__}: {error}"
        self._note(name, text)
        return None, text

    def _note(self, name: str, text: str) -> None:
        self.tally.errors[name] += 1
        self.tally.first_error = self.tally.first_error or text
