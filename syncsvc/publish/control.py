"""The control socket: answers ``hello`` and ``status``, and hands on the words of mode ``lossless``.

Whatever else comes is told so, and nothing is unpickled.
"""

from collections.abc import Callable

import zmq
from msgspec import Struct, structs

from syncsvc import wire
from syncsvc.clock import Clock
from syncsvc.errors import WireError
from syncsvc.observe.status import ReceiverStatus
from syncsvc.publish.gate import Gate
from syncsvc.publish.guests import Guests
from syncsvc.publish.lossless import LosslessOutlet
from syncsvc.publish.sockets import bind

MAX_REQUESTS_PER_TURN = 64
MAX_ANSWERS = 64


class Control:
    """Answers requests; the receiver gives it the two functions that know, and who has lossless subscribers."""

    socket: "zmq.Socket[bytes]"

    def __init__(
        self,
        hello: Callable[[], wire.HelloReply],
        status: Callable[[], ReceiverStatus],
        clock: Clock,
        lossless: LosslessOutlet,
    ) -> None:
        self._answers: dict[str, Callable[[], Struct]] = {"hello": hello, "status": status}
        self._clock, self._lossless = clock, lossless

    def bind(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        most_guests: int,
        gate: Gate | None = None,
    ) -> str:
        """Bind; returns the endpoint, with the port that was taken where 0 was asked for.

        ``most_guests`` may be connected, whom the ``gate`` lets in.

        Raises:
            BindError: the endpoint is in use, or not to be had.
        """
        self.socket, bound = bind(
            context, zmq.ROUTER, endpoint, send_mark=MAX_ANSWERS, most_bytes=wire.MAX_WORD_BYTES, gate=gate
        )
        self._guests = Guests(self.socket, "control", most_guests, self._clock, gate=gate)
        self._lossless.attach(self.socket, self._guests.hang_up)
        return bound

    def follow(self, most_guests: int) -> None:
        """So many may be connected from now on; from any thread."""
        self._guests.most = most_guests

    def answer(self, request: bytes) -> bytes:
        """The reply to one request, whatever its bytes are."""
        try:
            kind = wire.decode_control(request)["type"]
        except WireError as error:
            return wire.encode_control({"type": "error", "problem": str(error)})
        if kind not in self._answers:
            allowed = ", ".join(self._answers)
            problem = f"type {kind!r} is not known here; allowed: {allowed}"
            return wire.encode_control({"type": "error", "problem": problem})
        return wire.encode_control({"type": kind, **structs.asdict(self._answers[kind]())})

    def serve(self) -> None:
        """Answer what waits; a peer that does not read its answers loses them."""
        self._guests.look()
        self._hear()
        self._lossless.attend()

    def _hear(self) -> None:
        for _ in range(MAX_REQUESTS_PER_TURN):
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            peers = [self._guests.note_read(frame) for frame in frames[1:]]  # libzmq put the route before them
            parts = [frame.bytes for frame in frames]
            if len(parts) < 2:
                continue
            if len(parts) == 2 and wire.is_word(parts[-1]) and (peer := peers[-1]) is not None:
                self._lossless.hear(parts[0], parts[1], peer)
                continue
            try:
                # A REQ peer puts an empty part between its identity and its words; it wants it back.
                self.socket.send_multipart([*parts[:-1], self.answer(parts[-1])], zmq.DONTWAIT)
            except zmq.ZMQError:
                continue

    def close(self) -> None:
        """Answer nobody any more; what is on its way has the socket's linger to leave, while its context is ended."""
        self._guests.close()
        self.socket.close()
