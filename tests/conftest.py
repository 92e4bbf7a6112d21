"""Fixtures for every test: whoever leaves something behind fails, and who measures cameras has the machine alone."""

import gc
import io
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import settings

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, sleep_s
from syncsvc.testing import Holdings, leaks_since, names_left_since, shared_names
from tests.turns import NICE, ByNeed, Turns, background_of, is_alone, only_reckons

BESIDE_OTHERS = "PYTEST_XDIST_WORKER" in os.environ
NAMES_BEFORE = pytest.StashKey[frozenset[str]]()
TURNS = pytest.StashKey[Turns]()
IS_IN_BACKGROUND = pytest.StashKey[bool]()
PASSES_NS = 10 * NS_PER_S
"""What goes by itself within that time is no leak; and /dev/shm is everybody's, a name may be another program's."""
FIRST = ("tests/e2e/", "tests/process/", "tests/unit/bench/")
"""Beside others the long ones begin, so that short ones are left for the end, when one worker waits for the other."""

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # of an image, which runs one process: we start hundreds
sys.dont_write_bytecode = False
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else every program that imports numpy starts threads, which spin

settings.register_profile("syncsvc", deadline=None, max_examples=60)
settings.register_profile("quick", deadline=None, max_examples=5)
settings.load_profile("syncsvc")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note the names in /dev/shm: beside other workers no test can tell whose a new one is, but the session can."""
    session.config.stash[NAMES_BEFORE] = shared_names()
    if BESIDE_OTHERS:
        session.config.stash[TURNS] = Turns(session.config.cache.mkdir("turns"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that leaves a name in /dev/shm behind."""
    left = [] if BESIDE_OTHERS else names_that_stay(session.config.stash[NAMES_BEFORE])
    if left:
        session.config.get_terminal_writer().line("\nleft behind by the session: " + ", ".join(left))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Beside others, those that are alone come first, then the long ones; the worker in the background steps back."""
    if BESIDE_OTHERS:
        items.sort(key=lambda item: [is_alone(item), *map(item.nodeid.startswith, FIRST), True].index(True))
        workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        if os.environ["PYTEST_XDIST_WORKER"] == background_of([item.nodeid for item in items], workers):
            config.stash[IS_IN_BACKGROUND] = True
            os.nice(NICE)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what was collected out of the garbage collector's way: it stays, and looking through it was a tenth."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out the tests as ``turns`` says."""
    return ByNeed(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Let tests that are marked ``alone`` run one after the other while no other runs that they mind."""
    is_filling_gaps = item.config.stash.get(IS_IN_BACKGROUND, False) and only_reckons(item.nodeid)
    if not BESIDE_OTHERS or is_filling_gaps:
        return (yield)
    turns = item.config.stash[TURNS]
    turns.begin(is_alone=is_alone(item))
    result = yield
    if not is_alone(item) or nextitem is None or not is_alone(nextitem):
        turns.end()
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped, and why."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.getreports("skipped"))
    if reasons:
        told = (f"{count} because {reason.removeprefix('Skipped: ')}" for reason, count in reasons.most_common())
        terminalreporter.write_line("skipped: " + "; ".join(told))


def names_that_stay(before: frozenset[str]) -> list[str]:
    """The names in /dev/shm that were not there, that nobody maps, and that do not go by themselves."""
    return what_stays(lambda: names_left_since(before))


def what_stays(look: Callable[[], list[str]]) -> list[str]:
    """What is left when everything had time to go: a thread that ends may be about to close its connection."""
    end_ns = SYSTEM_CLOCK.monotonic_ns() + PASSES_NS
    while (left := look()) and SYSTEM_CLOCK.monotonic_ns() < end_ns:
        sleep_s(0.05)
    return left


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
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a child, a descriptor, a thread that is no daemon, or a name in /dev/shm behind.

    And one whose thread is of another scheduling class than before (SVT-AV1 makes its callers real-time): all
    that it starts from then on would take the processors from everything else.
    """
    before, names = Holdings.now(names=False), None if BESIDE_OTHERS else shared_names()
    own = os.sched_getscheduler(0)
    yield
    request.node.funcargs.clear()  # what only the finished test's arguments hold is no leak
    left = what_stays(lambda: leaks_since(before))
    if names is not None:
        left += names_that_stay(names)
    policy = os.sched_getscheduler(0)
    if policy != own:
        os.sched_setscheduler(0, own, os.sched_param(0))
        left.append(f"scheduling policy {policy}")
    assert not left, "left behind: " + ", ".join(left)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real recordings, from SYNCSVC_SHARED or beside the project; without it the test skips."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SYNCSVC_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip("the real recordings are not here")
    return folder
