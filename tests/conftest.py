"""Fixtures for every test: whoever leaves something behind fails, and who measures cameras has the machine alone."""

import fcntl
import io
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import settings

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, sleep_s
from syncsvc.testing import Holdings, leaks_since, names_left_since, shared_names

BESIDE_OTHERS = "PYTEST_XDIST_WORKER" in os.environ
NAMES_BEFORE = pytest.StashKey[frozenset[str]]()
NAMES_PASS_NS = 10 * NS_PER_S
"""/dev/shm is everybody's: a name that goes by itself within that time was another program's."""
FIRST = ("tests/unit/bench/", "tests/e2e/", "tests/process/")
"""Beside others the long ones begin, so that short ones are left for the end, when one worker waits for the other."""

settings.register_profile("syncsvc", deadline=None, max_examples=60)
settings.register_profile("quick", deadline=None, max_examples=10)
settings.load_profile("syncsvc")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note the names in /dev/shm: beside other workers no test can tell whose a new one is, but the session can."""
    session.config.stash[NAMES_BEFORE] = shared_names()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that leaves a name in /dev/shm behind."""
    left = [] if BESIDE_OTHERS else names_that_stay(session.config.stash[NAMES_BEFORE])
    if left:
        session.config.get_terminal_writer().line("\nleft behind by the session: " + ", ".join(left))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Beside others, tests that start processes are handed out one by one, the others by file: they share what is made.

    A module that makes something dear for its tests says so by a mark of its own.
    """
    if not (BESIDE_OTHERS or config.getoption("numprocesses", None)):
        return
    for item in items:
        if not item.nodeid.startswith(FIRST[1:]) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: [*map(item.nodeid.startswith, FIRST), True].index(True))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped, and why."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.getreports("skipped"))
    if reasons:
        told = (f"{count} because {reason.removeprefix('Skipped: ')}" for reason, count in reasons.most_common())
        terminalreporter.write_line("skipped: " + "; ".join(told))


def names_that_stay(before: frozenset[str]) -> list[str]:
    """The names in /dev/shm that were not there, that nobody maps, and that do not go by themselves."""
    end_ns = SYSTEM_CLOCK.monotonic_ns() + NAMES_PASS_NS
    while (left := names_left_since(before)) and SYSTEM_CLOCK.monotonic_ns() < end_ns:
        sleep_s(0.05)
    return left


@pytest.fixture(autouse=True)
def turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let a test that is marked ``alone`` run while no other worker runs any."""
    if not BESIDE_OTHERS:
        yield
        return
    folder, is_alone = tmp_path_factory.getbasetemp().parent, request.node.get_closest_marker("alone") is not None
    with (folder / "room").open("w") as room, (folder / "door").open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)  # nobody comes in while somebody wants it empty
        fcntl.flock(room, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Shells start background jobs with SIGINT ignored, and ignoring is inherited: our children shall hear Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def shared_context() -> None:
    """Open what pyzmq opens once and keeps, before a test is judged: its context, and that of copy-free messages."""
    context = zmq.Context.instance()
    with context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        one.bind("inproc://opens-everything")
        other.connect("inproc://opens-everything")
        one.send(bytes(1 << 20), copy=False)
        other.recv()


@pytest.fixture(scope="session")
def plotting() -> None:
    """Draw once before a test is judged: matplotlib keeps the fonts open that it finds."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    figure.suptitle("any text")
    figure.savefig(io.BytesIO())


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest, turn: None) -> Iterator[None]:
    """Fail a test that leaves a child, a descriptor, a thread that is no daemon, or a name in /dev/shm behind."""
    before, names = Holdings.now(names=False), None if BESIDE_OTHERS else shared_names()
    yield
    request.node.funcargs.clear()  # what only the finished test's arguments hold is no leak
    left = leaks_since(before)
    if names is not None:
        left += names_that_stay(names)
    assert not left, "left behind: " + ", ".join(left)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real recordings, from SYNCSVC_SHARED or beside the project; without it the test skips."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SYNCSVC_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip("the real recordings are not here")
    return folder
