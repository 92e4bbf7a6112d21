"""Fixtures for every test: whoever leaves something behind fails."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import settings

from syncsvc.testing import Holdings, leaks_since

settings.register_profile("syncsvc", deadline=None, max_examples=60)
settings.load_profile("syncsvc")


@pytest.fixture(autouse=True, scope="session")
def shared_context() -> None:
    """ZeroMQ's shared context opens descriptors of its own with its first socket: before any test is judged."""
    zmq.Context.instance().socket(zmq.SUB).close()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves a child, a descriptor, a thread that is no daemon, or a name in /dev/shm behind."""
    before = Holdings.now()
    yield
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
