"""The daemon: starts the receiver and the captures, watches them, answers signals, serves HTTP. One thread decides."""

import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from syncsvc import __version__
from syncsvc.clock import SYSTEM_CLOCK, Clock
from syncsvc.config.loader import load
from syncsvc.config.models import Config
from syncsvc.daemon.attendance import Attendance
from syncsvc.daemon.capture_child import SupervisedCapture
from syncsvc.daemon.descriptors import guests, raise_limit, refuse_too_many
from syncsvc.daemon.drain import DrainSteps, Step, leave_nobody
from syncsvc.daemon.history_room import history_lines
from syncsvc.daemon.http import HttpServer, admission
from syncsvc.daemon.nursery_child import SupervisedNursery
from syncsvc.daemon.pages import KeptPages
from syncsvc.daemon.planning import group_statuses, receiver_plan
from syncsvc.daemon.receiver_child import SupervisedReceiver
from syncsvc.daemon.recordings import begin_together
from syncsvc.daemon.reload import kept, refuse_unreloadable
from syncsvc.daemon.ring_memory import demands
from syncsvc.daemon.signals import Wishes
from syncsvc.daemon.streams import Streams
from syncsvc.daemon.supervisor import Supervised, Supervisor
from syncsvc.daemon.systemd import notify
from syncsvc.errors import BindError, ConfigError, MemoryShortage, SyncsvcError
from syncsvc.observe import logs
from syncsvc.observe.journal import open_journal
from syncsvc.observe.status import LocalStatus, LosslessStatus, ReceiverProcess, Revisions, ServiceStatus, SpoolStatus
from syncsvc.plan.from_receiver import BindRefused, Bound, Done, FromReceiver, LeaseRoom, Subscribed
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.plan.to_receiver import Begin, Detach, Drain, KeepPage, Reload
from syncsvc.transport.socket_files import SocketFile

TICK_S, IDLE_TICK_S = 0.1, 0.5  # between two looks at the clock: while something is to be started or ended, and else

log = logging.getLogger(__name__)


class Daemon:
    """One run, from a configuration to exit code 0."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock = SYSTEM_CLOCK,
        announce: Callable[[str], None],
        log_observations: Path | None = None,
        read: Callable[[Path], Config] = load,
    ) -> None:
        """Prepare.

        Args:
            path: of the configuration; read now, and again on SIGHUP.
            clock: for restarts and watchdogs.
            announce: called with the ``ready`` line.
            log_observations: file that every observation and decision is appended to.
            read: makes a configuration of the file.

        Raises:
            ConfigError: the configuration is refused, or has more streams than a process may open files for.
            UsageError: that file cannot be written.
        """
        self._path, self._clock, self._announce = path, clock, announce
        self._read, self._most_files = read, raise_limit()
        self._config = self._read_config()
        self._journal = open_journal(log_observations) if log_observations else None
        self._run_id = secrets.token_hex(16)
        self._supervisor = Supervisor(clock, Random())
        self._untried: set[str] = set(self._config.streams)
        self._pages = KeptPages()
        self._streams = Streams(self._pages, self._supervisor, self._capture_ended)
        self._receiver = SupervisedReceiver(self._supervisor, self._handle, self._receiver_ended)
        self._wishes = Wishes(clock)
        self._nursery = SupervisedNursery(self._supervisor, self._wishes)
        self._is_subscribed = self._has_announced = False
        self._endpoints, self._ready_ns = (self._config.publish.live, self._config.publish.control), 0
        self._socket_files: list[SocketFile] = []
        self._drain, self._attendance = DrainSteps(clock), Attendance()
        self._revisions: Revisions[ServiceStatus] = Revisions()
        self._http: HttpServer | None = None
        self._exit: int | None = None
        self._refusal: SyncsvcError | None = None
        self._supervisor.listen(self._wishes, self._wishes.hear)

    def _read_config(self) -> Config:
        config = self._read(self._path)
        refuse_too_many(self._path, config, self._most_files)
        return config

    def run(self) -> int:
        """Serve until stopped, or until every recording ended; the return value is the exit code.

        Raises:
            ConfigError, BindError, MemoryShortage: something is refused at the start.
        """
        logs.configure("daemon", self._config.secrets)
        try:
            if self._config.http is not None:
                self._http = HttpServer(self._config.http.bind, self.status, *admission(self._config))
                self._http.start()
            self._pages.make(self._config.streams, self._config.groups)
            self._streams.configure(self._config)
            while self._exit is None:
                self._turn()
        finally:
            leave_nobody(self._supervisor.children, self._receiver.child, is_clean=self._exit == 0)
            for file in self._socket_files:
                file.remove()
            self._supervisor.close()
            self._wishes.close()
            if self._http is not None:
                self._http.stop()
            if self._journal is not None:
                self._journal.close()
        if self._refusal is not None:
            raise self._refusal
        return self._exit

    def status(self) -> ServiceStatus:
        """Everything that ``/api/status`` tells; from any thread."""
        report, receiver = self._receiver.report, self._receiver.child
        return self._revisions.number(
            ServiceStatus(
                run_id=self._run_id,
                pid=os.getpid(),
                is_ready=self._has_announced and self._receiver.is_ready,
                live=self._endpoints[0],
                control=self._endpoints[1],
                epoch=report.epoch if report else None,
                subscriptions=report.subscriptions if report else 0,
                local=report.local if report else LocalStatus(),
                receiver=ReceiverProcess(receiver.pid if receiver else None),
                streams=self._streams.status(report.streams if report else {}),
                groups=group_statuses(self._config, report.groups if report else {}),
                lossless=report.lossless if report else LosslessStatus(),
                spool=report.spool if report else SpoolStatus(),
                version=__version__,
                nursery=self._nursery.child.pid if self._nursery.child else None,
            )
        )

    # One turn of the loop.

    def _turn(self) -> None:
        self._supervisor.turn(TICK_S if self._is_busy else IDLE_TICK_S)
        if self._wishes.take_stop():
            self._stop()
        if self._wishes.take_reload() and not self._drain.has_begun:
            self._reload()
        if self._receiver.is_due:
            journal = (self._journal.fd,) if self._journal else ()
            self._receiver.spawn(self._plan(self._config), self._config.variables, *journal)
        if self._nursery.is_due:
            self._nursery.spawn({stream.spec.kind for stream in self._streams.everyone}, self._config.variables)
        if self._receiver.is_ready and self._nursery.is_ready and not self._drain.has_begun:
            for stream in self._streams.due:
                stream.spawn(self._nursery.start_capture, self._receiver.send)
                if self._wishes.is_somebody_there:
                    return  # one that does not start may take seconds, and somebody wants us
            self._start_recordings()
        for one in self._everybody:
            one.watch()
        if self._exit is None and (self._receiver.is_beyond_help or self._nursery.is_beyond_help):
            self._exit = 1
        if self._receiver.is_ready:
            notify("WATCHDOG=1")
        self._go_on_ending()

    @property
    def _everybody(self) -> tuple[Supervised[Any, Any], ...]:
        return (*self._streams.everyone, self._receiver, self._nursery)

    @property
    def _is_busy(self) -> bool:
        is_waiting = self._drain.has_begun or self._wishes.is_waiting
        return is_waiting or any(one.due_ns is not None for one in self._everybody)

    def _capture_ended(self, stream: SupervisedCapture) -> None:
        if stream in self._streams.leaving:
            self._streams.leaving.remove(stream)
            return
        if stream.failure:
            self._broken(stream)
        elif stream.is_unhoused:
            self._leave_out(stream)
        elif stream.refusal is None:
            self._untried.discard(stream.name)
        elif not self._drain.has_begun:
            self._refused(stream, stream.refusal)
        self._receiver.send(Detach(stream.name, stream.page.next_seq, stream.is_ended))

    def _broken(self, stream: SupervisedCapture) -> None:
        """A recording ended early: the others go on; where it is all that there is and never began, it is refused."""
        if self._streams.by_name == {stream.name: stream} and not self._has_run(stream):
            problem = stream.failure
            self._refusal, self._exit = ConfigError(str(self._path), problem, key=f"streams.{stream.name}"), 78
        else:
            log.error("stream %s: %s", stream.name, stream.failure)

    def _has_run(self, stream: SupervisedCapture) -> bool:
        return stream.name not in self._untried or stream.page.next_seq > 0

    def _leave_out(self, stream: SupervisedCapture) -> None:
        """The machine lacks its memory: the others go on, it is tried again. Where none fits at the start: the end."""
        streams = self._streams.by_name
        if self._untried == set(streams) and all(one.is_unhoused and not one.page.next_seq for one in streams.values()):
            self._refusal, self._exit = MemoryShortage(f"no stream has room: {stream.problem}"), 78

    def _refused(self, stream: SupervisedCapture, problem: str) -> None:
        """A stream that never ran is a mistake in the configuration; one that did may be served again later."""
        if not self._has_run(stream):
            self._refusal, self._exit = ConfigError(str(self._path), problem, key=f"streams.{stream.name}"), 78
            return
        log.error("stream %s: %s", stream.name, problem)
        stream.retry()
        if stream.failure:  # that was its last try
            self._broken(stream)

    def _start_recordings(self) -> None:
        """Once every recording is ready and the subscribers that were asked for are there: one start for all."""
        recordings = [stream for stream in self._streams.by_name.values() if stream.is_recording]
        waiting = [stream for stream in recordings if stream.start is None and not stream.is_ended]
        if waiting and not self._is_subscribed:
            report = self._receiver.report
            self._attendance.tell_waiting(report.subscriptions if report else 0, self._config.publish.wait_for)
        if not waiting or not self._is_subscribed or not all(stream.is_ready for stream in waiting):
            return
        self._attendance.tell_begun()
        begin_together(waiting, self._config, self._ready_ns, self._clock)

    # The receiver.

    def _plan(self, config: Config) -> ReceiverPlan:
        return receiver_plan(
            config,
            self._pages.entries,
            run_id=self._run_id,
            min_epoch=self._receiver.min_epoch,
            endpoints=self._endpoints,
            guests=guests(config, self._most_files),
        )

    def _handle(self, message: FromReceiver) -> None:
        match message:
            case Bound(live, control):
                self._receiver_bound(live, control)
            case BindRefused(endpoint, problem):
                refusal = BindError(endpoint, problem)
                if self._has_announced:
                    log.error("the receiver cannot bind again, and tries on: %s", refusal)
                else:
                    self._refusal, self._exit = refusal, 78
            case Subscribed():
                self._is_subscribed = True
            case LeaseRoom(stream, span_ns) if stream in self._streams.by_name:
                self._streams.by_name[stream].make_room(span_ns)
            case Done():
                has_failed = any(stream.failure for stream in self._streams.by_name.values())
                self._exit = 1 if has_failed and not self._drain.has_begun else 0

    def _receiver_bound(self, live: str, control: str) -> None:
        self._endpoints = (live, control)
        self._socket_files = [file for file in map(SocketFile.of, self._endpoints) if file is not None]
        for name in self._config.groups:
            self._receiver.send(KeepPage(name), self._pages.fd(name))
        self._ready_ns = self._clock.utc_ns()
        if not self._has_announced:
            http = f" http={self._http.url}" if self._http else ""
            self._announce(f"ready live={live} control={control}{http}")
            self._has_announced = True
            notify("READY=1")
            for line in history_lines(self._config, {one.name: one for one in demands(self._config, {})}):
                log.info("%s", line)
        self._receiver.send(Begin(self._ready_ns))
        self._receiver.is_ready = True

    def _receiver_ended(self, code: int) -> None:
        if self._exit is not None:
            return
        was_finishing = self._receiver.is_finishing or self._drain.has_begun
        log.error("the receiver ended with %s%s", code, "" if was_finishing else ": everything behind it starts again")
        if was_finishing:
            self._exit = 1
        for stream in self._streams.by_name.values():
            stream.excuse()

    # The end.

    def _go_on_ending(self) -> None:
        """Recordings that are all over, and the steps of a drain."""
        running = [stream.child for stream in self._streams.everyone if stream.child is not None]
        are_over = not running and all(stream.is_ended for stream in self._streams.by_name.values())
        if are_over and not self._drain.has_begun and not self._receiver.is_finishing:
            self._receiver.finish("ended")
        for step in self._drain.steps(has_captures=bool(running)):
            if step is Step.KILL_CAPTURES:
                for child in running:
                    child.kill()
            elif step is Step.FINISH_RECEIVER:
                self._receiver.finish("draining")
            else:
                log.error("the drain did not end in time")
                self._exit = 1

    def _stop(self) -> None:
        if self._drain.has_begun:  # asked twice: now
            self._exit = 1
            return
        log.info("draining")
        notify("STOPPING=1")
        self._drain.begin()
        self._receiver.send(Drain())
        if self._receiver.child is None:
            self._receiver.excuse()  # the next one starts at once, for the last word is its to say
        for stream in self._streams.everyone:
            stream.stop()

    # Reload.

    def _reload(self) -> None:
        """Read the configuration again; streams and groups that did not change go on untouched."""
        notify(f"RELOADING=1\nMONOTONIC_USEC={self._clock.monotonic_ns() // 1000}")
        try:
            config = self._read_config()
            refuse_unreloadable(self._path, self._config, config)
            plan = self._plan(config)
            self._pages.make(config.streams, config.groups)
        except (ConfigError, MemoryShortage) as error:
            self._config = kept(self._config, error)
            self._receiver.send(Reload(self._plan(self._config)))
            notify("READY=1")
            return
        logs.configure("daemon", config.secrets)
        self._config = config
        self._nursery.hide(config.variables)
        self._untried.clear()  # from now on a stream that is refused is tried again, for the others' sake
        self._streams.configure(config)
        for name in config.groups:
            self._receiver.send(KeepPage(name), self._pages.fd(name))
        self._receiver.send(Reload(plan))
        log.info("reloaded: %d streams, %d groups", len(config.streams), len(config.groups))
        notify("READY=1")
