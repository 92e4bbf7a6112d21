"""The daemon: starts the receiver and the captures, watches them, answers signals, serves HTTP. One thread decides."""

import logging
import os
import secrets
import selectors
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from syncsvc.config.loader import load
from syncsvc.config.models import Config
from syncsvc.errors import BindError, ConfigError, LinkClosed, SyncsvcError
from syncsvc.observe import logs
from syncsvc.service.child import Child
from syncsvc.service.http import HttpServer
from syncsvc.service.notify import notify
from syncsvc.service.places import GroupPages
from syncsvc.service.plan import capture_spec, is_patient, receiver_plan, window_lcm_ns
from syncsvc.service.reception import SupervisedReceiver
from syncsvc.service.reload import refuse_unreloadable
from syncsvc.service.signals import SignalPipe
from syncsvc.service.start import decide_starts
from syncsvc.service.stream import Private, SupervisedStream
from syncsvc.transport.page import StreamPage

TICK_S = 0.1
STOP_GRACE_S = 1.5
FINISH_GRACE_S = 12.0

log = logging.getLogger(__name__)


class Daemon:
    """One run, from a configuration to exit code 0."""

    def __init__(self, path: Path, *, clock: Clock = SYSTEM_CLOCK, announce: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            path: of the configuration; read now, and again on SIGHUP.
            clock: for restarts and watchdogs.
            announce: called with the ``ready`` line.

        Raises:
            ConfigError: the configuration is refused.
        """
        self._path, self._clock, self._announce = path, clock, announce
        self._config: Config = load(path)
        self._run_id = secrets.token_hex(16)
        self._random = Random()
        self._selector = selectors.DefaultSelector()
        self._streams: dict[str, SupervisedStream] = {}
        self._leaving: list[SupervisedStream] = []
        self._stream_pages: dict[str, StreamPage] = {}
        self._untried: set[str] = set(self._config.streams)
        self._pages = GroupPages()
        self._receiver = SupervisedReceiver(clock, self._random)
        self._is_subscribed = self._has_announced = False
        self._endpoints = (self._config.publish.live, self._config.publish.control)
        self._ready_ns = 0
        self._stopping_since_ns: int | None = None
        self._has_drained = False
        self._http: HttpServer | None = None
        self._exit: int | None = None
        self._refusal: SyncsvcError | None = None
        self._signals = SignalPipe((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        self._selector.register(self._signals, selectors.EVENT_READ, self._signalled)

    def run(self) -> int:
        """Serve until stopped, or until every recording ended; the return value is the exit code.

        Raises:
            ConfigError, BindError: something is refused at the start.
        """
        logs.configure("daemon", self._config.secrets)
        try:
            if self._config.http is not None:
                self._http = HttpServer(self._config.http.bind, self.describe)
                self._http.start()
            self._streams = {name: self._new_stream(name) for name in self._config.streams}
            while self._exit is None:
                self._turn()
        finally:
            self._kill_everything()
            if self._http is not None:
                self._http.stop()
        if self._refusal is not None:
            raise self._refusal
        return self._exit

    def describe(self) -> dict[str, Any]:
        """Everything that ``/api/status`` tells; from any thread."""
        report = self._receiver.report
        streams = {
            name: {**report.get("streams", {}).get(name, {}), **stream.describe()}
            for name, stream in tuple(self._streams.items())
        }
        receiver = self._receiver.child
        return {
            "run_id": self._run_id,
            "pid": os.getpid(),
            "is_ready": self._has_announced and self._receiver.is_ready,
            "epoch": report.get("epoch"),
            "live": self._endpoints[0],
            "control": self._endpoints[1],
            "subscriptions": report.get("subscriptions", 0),
            "receiver": {"pid": receiver.pid if receiver else None},
            "streams": streams,
            "groups": report.get("groups", {}),
        }

    # One turn of the loop.

    def _turn(self) -> None:
        for key, _ in self._selector.select(TICK_S):
            key.data()
        now_ns = self._clock.monotonic_ns()
        if self._receiver.is_due:
            self._start_receiver()
        if self._receiver.is_ready and self._stopping_since_ns is None:
            for stream in tuple(self._streams.values()):
                if stream.due_ns is not None and now_ns >= stream.due_ns:
                    self._spawn(stream)
            self._start_recordings()
        for stream in (*self._streams.values(), *self._leaving):
            stream.watch()
        self._receiver.watch()
        if self._receiver.is_ready:
            notify("WATCHDOG=1")
        self._go_on_ending(now_ns)

    def _spawn(self, stream: SupervisedStream) -> None:
        if any(old.spec.name == stream.spec.name for old in self._leaving):
            return  # one page, one writer: it waits for the capture that leaves
        try:
            assert self._receiver.child is not None
            stream.spawn(self._receiver.child.channel)
        except LinkClosed:
            log.debug("the receiver is gone; its end will be noticed")
        if stream.child is not None:
            child = stream.child
            self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._capture_ended(stream, child))
            self._selector.register(child.channel, selectors.EVENT_READ, lambda: self._capture_spoke(stream, child))

    def _capture_spoke(self, stream: SupervisedStream, child: Child) -> None:
        if stream.hear() is None:
            self._selector.unregister(child.channel)

    def _capture_ended(self, stream: SupervisedStream, child: Child) -> None:
        while stream.child is child and stream.hear():
            pass  # its last words
        self._selector.unregister(child.pidfd)
        if child.channel.fileno() in self._selector.get_map():
            self._selector.unregister(child.channel)
        code = child.reap(1.0)
        stream.ended(
            code if code is not None else 0, again=self._stopping_since_ns is None and stream not in self._leaving
        )
        if stream in self._leaving:
            self._leaving.remove(stream)
            return
        self._receiver.tell({"type": "gone", "stream": stream.spec.name, "next_seq": stream.page.next_seq})
        if stream.refusal is None:
            self._untried.discard(stream.spec.name)
        elif self._stopping_since_ns is None:
            self._refused(stream)

    def _refused(self, stream: SupervisedStream) -> None:
        """A stream that never ran is a mistake in the configuration; one that did may be served again later."""
        if stream.spec.name in self._untried and stream.page.next_seq == 0:
            self._refusal, self._exit = (
                ConfigError(str(self._path), stream.refusal or "", key=f"streams.{stream.spec.name}"),
                78,
            )
            return
        log.error("stream %s: %s", stream.spec.name, stream.refusal)
        stream.refusal = None
        stream.ended(78, again=True)

    def _start_recordings(self) -> None:
        """Once every recording is ready and the subscribers that were asked for are there: one start for all."""
        waiting = [stream for stream in self._streams.values() if stream.is_recording and stream.start is None]
        if not waiting or not self._is_subscribed or not all(stream.is_ready for stream in waiting):
            return
        starts = decide_starts(
            {stream.spec.name: stream.origin_ns for stream in waiting},
            [group.streams for group in self._config.groups.values()],
            edge_ns=window_lcm_ns(self._config),
            first_ns=self._ready_ns,
            now_utc_ns=self._clock.utc_ns(),
            now_mono_ns=self._clock.monotonic_ns(),
            is_patient=is_patient(self._config),
        )
        for stream in waiting:
            stream.begin(starts[stream.spec.name])

    # The receiver.

    def _start_receiver(self) -> None:
        child = self._receiver.spawn(self._plan(), self._config.variables)
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._receiver_ended(child))
        self._selector.register(child.channel, selectors.EVENT_READ, lambda: self._receiver_spoke(child))

    def _plan(self) -> dict[str, Any]:
        plan = receiver_plan(
            self._config,
            self._pages.places,
            run_id=self._run_id,
            min_epoch=self._receiver.min_epoch,
            endpoints=self._endpoints,
        )
        return dict(msgspec.to_builtins(plan))

    def _receiver_spoke(self, child: Child) -> None:
        try:
            for message in self._receiver.words():
                self._hear(message)
        except LinkClosed:
            self._selector.unregister(child.channel)

    def _hear(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "bound":
                self._receiver_bound(message["live"], message["control"])
            case "refused" if not self._has_announced:
                self._refusal, self._exit = BindError(*message["problem"].split(": ", 1)), 78
            case "refused":
                log.error("the receiver cannot bind again, and tries on: %s", message["problem"])
            case "subscribed":
                self._is_subscribed = True
            case "done":
                self._exit = 0

    def _receiver_bound(self, live: str, control: str) -> None:
        self._endpoints = (live, control)
        for name in self._config.groups:
            self._receiver.tell({"type": "page", "group": name}, (self._pages.fd(name),))
        self._ready_ns = self._clock.utc_ns()
        if not self._has_announced:
            http = f" http=http://{self._http.address}" if self._http else ""
            self._announce(f"ready live={live} control={control}{http}")
            self._has_announced = True
            notify("READY=1")
        self._receiver.tell({"type": "begin", "ready_ns": self._ready_ns})
        self._receiver.is_ready = True

    def _receiver_ended(self, child: Child) -> None:
        if child.channel.fileno() in self._selector.get_map():
            self._receiver_spoke(child)  # its last words
        self._selector.unregister(child.pidfd)
        if child.channel.fileno() in self._selector.get_map():
            self._selector.unregister(child.channel)
        code = child.reap(1.0)
        was_finishing = self._receiver.is_finishing or self._stopping_since_ns is not None
        self._receiver.ended()
        if self._exit is not None:
            return
        log.error("the receiver ended with %s%s", code, "" if was_finishing else ": everything behind it starts again")
        if was_finishing:
            self._exit = 1
        for stream in self._streams.values():
            stream.excuse()

    # The end.

    def _go_on_ending(self, now_ns: int) -> None:
        """Recordings that are all over, and the steps of a drain."""
        children = [stream for stream in (*self._streams.values(), *self._leaving) if stream.child is not None]
        if self._stopping_since_ns is None:
            if not self._receiver.is_finishing and not children and all(s.is_ended for s in self._streams.values()):
                self._receiver.finish("ended")
            return
        waited_s = (now_ns - self._stopping_since_ns) / NS_PER_S
        if children and waited_s > STOP_GRACE_S:
            for stream in children:
                stream.kill()
        if not children and not self._has_drained:
            self._has_drained = True
            self._receiver.finish("draining")
        if waited_s > FINISH_GRACE_S:
            log.error("the drain did not end in time")
            self._exit = 1

    def _stop(self) -> None:
        if self._stopping_since_ns is not None:  # asked twice: now
            self._exit = 1
            return
        log.info("draining")
        notify("STOPPING=1")
        self._stopping_since_ns = self._clock.monotonic_ns()
        self._receiver.tell({"type": "draining"})
        for stream in (*self._streams.values(), *self._leaving):
            stream.stop()

    def _kill_everything(self) -> None:
        for child in [stream.child for stream in (*self._streams.values(), *self._leaving)]:
            if child is not None and child.reap(0.0) is None:
                child.kill()
                child.reap(2.0)
        receiver = self._receiver.child
        if receiver is not None and receiver.reap(1.0 if self._exit == 0 else 0.0) is None:
            receiver.kill()
            receiver.reap(2.0)
        self._selector.close()
        self._signals.close()

    # Signals and reload.

    def _signalled(self) -> None:
        for number in self._signals.read():
            if number == signal.SIGHUP:
                self._reload()
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._stop()

    def _reload(self) -> None:
        """Read the configuration again; streams and groups that did not change go on untouched."""
        notify(f"RELOADING=1\nMONOTONIC_USEC={self._clock.monotonic_ns() // 1000}")
        try:
            config = load(self._path)
            refuse_unreloadable(self._path, self._config, config)
        except ConfigError as error:
            log.error("the configuration is kept as it was: %s", error)
            notify("READY=1")
            return
        logs.configure("daemon", config.secrets)
        before, self._config = self._config.streams, config
        self._untried.clear()  # from now on a stream that is refused is tried again, for the others' sake
        for name in [name for name in self._streams if name not in config.streams]:
            stream = self._streams.pop(name)
            self._leaving.append(stream)
            stream.stop()
        for name in config.groups:
            self._receiver.tell({"type": "page", "group": name}, (self._pages.fd(name),))
        self._receiver.tell({"type": "reload", "plan": self._plan()})
        for name in config.streams:
            if name not in self._streams:
                self._streams[name] = self._new_stream(name)
            else:
                spec = capture_spec(name, config.streams[name], config)
                is_other = config.streams[name] != before.get(name)
                self._streams[name].respecify(spec, self._private, is_other=is_other)
        log.info("reloaded: %d streams, %d groups", len(config.streams), len(config.groups))
        notify("READY=1")

    @property
    def _private(self) -> Private:
        return Private(self._config.secrets, self._config.variables)

    def _new_stream(self, name: str) -> SupervisedStream:
        spec = capture_spec(name, self._config.streams[name], self._config)
        if name not in self._stream_pages:  # kept for good: numbers go on when a stream leaves and returns
            self._stream_pages[name] = StreamPage.create(name)
        page = self._stream_pages[name]
        return SupervisedStream(spec, page, self._private, self._clock, self._random)
