"""Fixtures for every test: whoever leaves something behind fails."""

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import settings

from syncsvc.testing import Holdings, leaks_since, names_left_since, shared_names

BESIDE_OTHERS = "PYTEST_XDIST_WORKER" in os.environ
NAMES_BEFORE = pytest.StashKey[frozenset[str]]()

settings.register_profile("syncsvc", deadline=None, max_examples=60)
settings.load_profile("syncsvc")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note the names in /dev/shm: beside other workers no test can tell whose a new one is, but the session can."""
    session.config.stash[NAMES_BEFORE] = shared_names()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that leaves a name in /dev/shm behind."""
    left = [] if BESIDE_OTHERS else names_left_since(session.config.stash[NAMES_BEFORE])
    if left:
        session.config.get_terminal_writer().line("\nleft behind by the session: " + ", ".join(left))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
    """Fail a test that leaves a child, a descriptor, a thread that is no daemon, or a name in /dev/shm behind."""
    before = Holdings.now(names=not BESIDE_OTHERS)
    yield
    request.node.funcargs.clear()  # what only the finished test's arguments hold is no leak
    left = leaks_since(before)
    assert not left, "left behind: " + ", ".join(left)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real recordings, from SYNCSVC_SHARED or beside the project; without it the test skips."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SYNCSVC_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip("the real recordings are not here")
    return folder
