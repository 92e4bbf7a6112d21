"""The receiver process: ingest threads, groups and the publisher, composed from what the daemon sends.

Started as ``python -m syncsvc.service.receiver CHANNEL_FD PARENT_PID receiver``.
"""

import logging
import os
import signal
import socket
import sys
from typing import Any

import msgspec

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import BindError, LinkClosed
from syncsvc.ingest.worker import StreamIngest
from syncsvc.lifecycle import StopToken, Worker, die_with_parent
from syncsvc.model import Frame, FrameBatch
from syncsvc.observe import logs
from syncsvc.publish.control import Control
from syncsvc.publish.live import LateFrame, Publisher
from syncsvc.service.account import Accounts
from syncsvc.service.group import Group, GroupOutput, first_window
from syncsvc.service.plan import GroupPlan, ReceiverPlan, StreamPlan
from syncsvc.timing.ladder import StreamClock, rungs_for
from syncsvc.timing.utc import UtcMapper
from syncsvc.transport.channel import Channel
from syncsvc.transport.link import LinkReader
from syncsvc.transport.page import GroupPage
from syncsvc.transport.payload import Payload
from syncsvc.wire import batch_topic

EX_SOFTWARE = 70
EX_CONFIG = 78
TICK_S = 0.1
REPORT_TICKS = 5
DRAIN_S = 4.0

log = logging.getLogger(__name__)


class Receiver:
    """One run of the receiver, from binding the sockets to the last batch."""

    def __init__(self, channel: Channel, plan: ReceiverPlan) -> None:
        self._channel, self._plan = channel, plan
        self._clock = SYSTEM_CLOCK
        self._utc = UtcMapper(self._clock)
        self._epoch = max(plan.min_epoch, self._clock.utc_ns() // 1_000_000)
        self._accounts = Accounts(self._clock)
        self._publisher = Publisher(
            plan.run_id,
            self._clock,
            self._utc.now_utc,
            Control(self._hello, self._status),
            is_patient=plan.is_patient,
            before_send=self._accounts.before_send,
        )
        self._endpoints = ("", "")
        self._groups: dict[str, tuple[Group, Worker]] = {}
        self._streams: dict[str, tuple[StreamIngest, Worker]] = {}
        self._topics: dict[str, tuple[bytes, ...]] = {}
        self._publishing: Worker | None = None
        self._failure: str | None = None
        self._ready_ns = 0

    def run(self) -> int:
        """Serve until told to finish; the return value is the exit code."""
        try:
            self._endpoints = self._publisher.bind(self._plan.live, self._plan.control)
        except BindError as error:
            self._channel.send({"type": "refused", "problem": str(error)})
            return EX_CONFIG
        self._channel.send({"type": "bound", "live": self._endpoints[0], "control": self._endpoints[1]})
        self._publishing = Worker("publisher", self._publisher.run, self._on_failure).start()
        ticks = 0
        has_told = False
        while self._failure is None:
            word = self._channel.receive(TICK_S)
            if word is not None and self._obey(*word):
                return 0
            if self._utc.update():
                self._jump()
            if not has_told and self._publisher.subscriptions >= self._plan.wait_for:
                has_told = True
                self._channel.send({"type": "subscribed"})
            ticks += 1
            if ticks % REPORT_TICKS == 0:
                self._channel.send({"type": "report", "report": self._status()})
        log.error("gives up: %s", self._failure)
        return EX_SOFTWARE

    def _on_failure(self, name: str, error: BaseException) -> None:
        """A thread broke: the process ends, the daemon starts a new one, and says so."""
        log.error("thread %s broke", name, exc_info=error)
        self._failure = f"thread {name}: {type(error).__name__}: {error}"

    def _obey(self, message: dict[str, Any], fds: list[int]) -> bool:
        """Do what the daemon says; true when that was the end."""
        match message["type"]:
            case "page":
                self._accounts.add_page(message["group"], GroupPage(fds[0]))
            case "begin":
                self._ready_ns = message["ready_ns"]
                self._rebuild(self._plan)
            case "reload":
                self._rebuild(msgspec.convert(message["plan"], ReceiverPlan))
            case "attach":
                ingest, _ = self._streams[message["stream"]]
                for name in self._groups_of(message["stream"]):
                    lost = self._accounts.lost_with_receiver(message["stream"], message["next_seq"], name)
                    if lost:
                        self._groups[name][0].drop(message["stream"], "receiver_died", lost)
                ingest.attach(LinkReader(fds[0], socket.socket(fileno=fds[1])), message["next_seq"])
            case "gone":
                if message["stream"] in self._streams:
                    self._streams[message["stream"]][0].detach(message["next_seq"])
            case "draining":
                for group, _ in self._groups.values():
                    group.drain()
            case "finish":
                self._finish(message["how"])
                return True
        return False

    def _finish(self, how: str) -> None:
        """Read every pipe to its end, emit what is open, send it, say goodbye."""
        for _, worker in self._streams.values():
            worker.stop_token.set()
        for ingest, worker in self._streams.values():
            if not worker.join(DRAIN_S):
                log.warning("stream %s was not read to its end", ingest.name)
        for group, _ in self._groups.values():
            group.flush()
        for _, worker in self._groups.values():
            worker.join(3600.0 if self._plan.is_patient and how == "ended" else DRAIN_S)
        assert self._publishing is not None
        self._publishing.stop()
        self._publisher.finish("ended" if how == "ended" else "draining")
        self._channel.send({"type": "report", "report": self._status()})
        self._channel.send({"type": "done"})

    def _rebuild(self, plan: ReceiverPlan) -> None:
        """Make groups and streams what the plan says; those that did not change go on untouched."""
        old = self._plan if self._groups else None
        self._plan = plan
        for name in [name for name in self._groups if name not in plan.groups]:
            group, worker = self._groups.pop(name)
            group.flush()
            worker.join(DRAIN_S)
        for name, group_plan in plan.groups.items():
            self._accounts.plan(group_plan)
            before = old.groups.get(name) if old else None
            if name not in self._groups or before is None or before.window_ns != group_plan.window_ns:
                self._open_group(group_plan)
            elif before != group_plan:
                self._groups[name][0].reconfigure(group_plan.rules)
        for name in [name for name in self._streams if name not in plan.streams]:
            self._streams.pop(name)[1].stop_token.set()
        for name, stream_plan in plan.streams.items():
            self._topics[name] = tuple(batch_topic(group) for group in self._groups_of(name))
            before_stream = old.streams.get(name) if old else None
            if name in self._streams and before_stream is not None and not _is_other(before_stream, stream_plan):
                self._rewire(self._streams[name][0], stream_plan)
                continue
            if name in self._streams:
                self._streams.pop(name)[1].stop_token.set()
            ingest = self._open_stream(stream_plan)
            self._streams[name] = ingest, Worker(f"ingest-{name}", ingest.run, self._on_failure).start()

    def _groups_of(self, stream: str) -> list[str]:
        return [name for name, group in self._plan.groups.items() if stream in group.streams]

    def _open_group(self, plan: GroupPlan) -> None:
        first_seq = 0
        if plan.name in self._groups:  # its windows changed: what is open leaves as it is, the numbers go on
            group, worker = self._groups.pop(plan.name)
            group.flush()
            worker.join(DRAIN_S)
            first_seq = group.seq
        ready_ns = self._ready_ns if not first_seq else self._utc.now_utc()
        emitted_end_ns = self._accounts.emitted_end_ns(plan.name)
        number = first_window(ready_ns, emitted_end_ns, plan.window_ns, self._utc.now_utc())
        stop = StopToken()
        output = GroupOutput(
            emit=lambda batch: self._emit(batch, stop),
            late=lambda frame, seq, window: self._late(plan.name, frame, seq, window),
        )
        group = Group(
            plan.rules, self._utc, output,
            epoch=self._epoch, first_window=number, first_seq=first_seq, is_patient=self._plan.is_patient,
        )  # fmt: skip
        worker = Worker(f"align-{plan.name}", group.run, self._on_failure)
        self._groups[plan.name] = group, worker.start()

    def _emit(self, batch: FrameBatch, stop: StopToken) -> None:
        self._publisher.put(batch, stop)

    def _late(self, name: str, frame: Frame, seq: int, window: tuple[int, int]) -> None:
        if self._plan.groups[name].sends_late:
            self._publisher.put(LateFrame(name, frame, seq, self._epoch, window), StopToken())
        else:
            frame.payload.release()

    def _open_stream(self, plan: StreamPlan) -> StreamIngest:
        stream_clock = StreamClock(
            lambda: rungs_for(plan.clock, plan.kind, plan.latency_ns, self._utc.to_utc),
            hold_ns=plan.hold_ns,
            edge_ns=plan.edge_ns,
            to_utc=self._utc.to_utc,
        )
        ingest = StreamIngest(
            plan.name,
            stream_clock,
            self._clock,
            self._utc.to_utc,
            stall_after_ns=plan.stall_after_ns,
            is_patient=self._plan.is_patient,
            take_pixels=self._take_pixels,
        )
        self._rewire(ingest, plan)
        return ingest

    def _rewire(self, ingest: StreamIngest, plan: StreamPlan) -> None:
        names = self._groups_of(plan.name)
        sinks = [self._groups[name][0] for name in names]
        ingest.rewire(sinks, lambda stream, seq: self._accounts.joined(stream, seq, names), plan.hold_ns, plan.edge_ns)

    def _take_pixels(self, stream: str, payload: Payload) -> None:
        """Copy a frame out of its slot as it comes, where somebody will want it.

        A batch then leaves at its deadline without the time that copying all of it takes.
        """
        if any(self._publisher.wants(topic) for topic in self._topics[stream]):
            payload.copy_out(self._publisher.pool)

    def _jump(self) -> None:
        self._epoch = max(self._epoch + 1, self._utc.now_utc() // 1_000_000)
        log.warning("the host's clock jumped: epoch %d begins", self._epoch)
        for group, _ in self._groups.values():
            group.jump(self._epoch)

    def _hello(self) -> dict[str, Any]:
        groups = {
            name: {
                "streams": list(group.streams),
                "window_ms": group.window_ns // 1_000_000,
                "max_skew_ms": group.max_skew_ns / 1_000_000,
                "max_latency_ms": group.max_latency_ns / 1_000_000,
            }
            for name, group in self._plan.groups.items()
        }
        return {"run_id": self._plan.run_id, "epoch": self._epoch, "live": self._endpoints[0], "groups": groups}

    def _status(self) -> dict[str, Any]:
        return {
            "run_id": self._plan.run_id,
            "epoch": self._epoch,
            "pid": os.getpid(),
            "subscriptions": self._publisher.subscriptions,
            "streams": {name: ingest.describe() for name, (ingest, _) in tuple(self._streams.items())},
            "groups": self._accounts.describe(),
        }


def _is_other(before: StreamPlan, after: StreamPlan) -> bool:
    """Whether a stream's own clock settings changed, and not only the groups around it."""
    return msgspec.structs.replace(before, hold_ns=0, edge_ns=0) != msgspec.structs.replace(after, hold_ns=0, edge_ns=0)


def main(arguments: list[str]) -> int:
    """Take over from the daemon: ``CHANNEL_FD PARENT_PID receiver``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(arguments[1]))
    channel = Channel.of(int(arguments[0]))
    logs.configure("receiver", ())
    first = channel.receive(None)
    assert first is not None, "receive without a time-out waits"
    plan = msgspec.convert(first[0]["plan"], ReceiverPlan)
    try:
        return Receiver(channel, plan).run()
    except LinkClosed:
        return EX_SOFTWARE  # the daemon is gone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
