"""Plays the daemon to a real nursery: does what it reads, one word a line, and answers each with a line.

``bear NAME``, ``start NAME`` (the first word of a capture that cannot open its file), ``end NAME``, ``nursery``,
``kill`` (the nursery), ``fds``, ``children``.
"""

import os
import sys
from pathlib import Path
from random import Random

from syncsvc.capture.spec import FileSpec, RingPlan
from syncsvc.capture.words import Capture, Confined, FromCapture
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.daemon.child import Child
from syncsvc.daemon.nursery_child import SupervisedNursery
from syncsvc.daemon.supervisor import Supervisor
from syncsvc.transport.link import open_link
from syncsvc.transport.page import StreamPage

supervisor = Supervisor(SYSTEM_CLOCK, Random(1))
nursery = SupervisedNursery(supervisor, os.eventfd(0))
captures: dict[str, Child[FromCapture]] = {}


def until_ready() -> None:
    while not nursery.is_ready:
        if nursery.due_ns is not None:
            nursery.spawn(("file",), frozenset({"SECRET"}))
        supervisor.turn(0.1)


def start(name: str) -> str:
    spec = FileSpec(name=name, pixels="i420", ring=RingPlan(1_000_000_000), path="/nowhere/at-all.mp4")
    reader, writer, ours, theirs = open_link()
    page = StreamPage.create(name)
    captures[name].channel.send(Capture(spec, ()), page.fd, writer, theirs.fileno())
    word = captures[name].channel.receive(20)
    while word is not None and isinstance(word[0], Confined):  # what it gave up comes first
        word = captures[name].channel.receive(20)
    for end in (ours, theirs):
        end.close()
    for fd in (reader, writer):
        os.close(fd)
    page.close()
    return "nothing" if word is None else type(word[0]).__name__


def obey(word: str, name: str) -> object:
    match word:
        case "bear":
            captures[name] = nursery.start_capture(name)
            supervisor.children.append(captures[name])
            return captures[name].pid
        case "start":
            return start(name)
        case "end":
            supervisor.children.remove(captures[name])
            return captures.pop(name).reap(20)
        case "nursery":
            return nursery.child.pid if nursery.child else None
        case "kill":
            before = nursery.child
            assert before is not None
            before.kill()
            while nursery.child is before:
                supervisor.turn(0.1)
            until_ready()
            return nursery.child.pid if nursery.child else None
        case "fds":
            return len(os.listdir("/proc/self/fd"))
        case "children":
            return Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    raise AssertionError(word)


if __name__ == "__main__":
    until_ready()
    answer = "ready"
    while True:
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
        word, _, name = sys.stdin.readline().strip().partition(" ")
        answer = str(obey(word, name))
