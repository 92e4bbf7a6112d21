"""What ``import syncsvc`` offers, and that it starts nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import syncsvc
from syncsvc import errors

NAMES = {
    "__version__",
    "AsyncSubscriber", "Recorder", "Subscriber", "SubscriberStats", "save_stills", "stack",
    "Codec", "Counts", "Frame", "FrameBatch", "FrameSet", "Gap", "LateFrame", "Layout", "Payload", "Result",
    "FramePool", "PoolCall", "PoolStats", "CallCancelled", "PoolError", "WorkerDied",
    "DiskFull", "NotRecorded",
    "ConfigError", "FrameReclaimedError", "FrameUndecodable", "FrameWithoutPixels", "NoAnswer", "StillsNotSaved",
    "SubscriberClosed", "SubscriptionEnded", "SyncsvcError", "UnknownGroup", "UsageError", "WireError",
}  # fmt: skip
INTERNAL = {"TransportError", "SlotReclaimedError", "MemoryShortage", "LinkClosed"}
"""Raised between parts of the client, and caught there."""


def test_all_that_users_may_name_is_there_and_nothing_else() -> None:
    assert len(syncsvc.__all__) == len(set(syncsvc.__all__))
    assert set(syncsvc.__all__) == NAMES
    for name in NAMES:
        assert getattr(syncsvc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        syncsvc.Nothing  # noqa: B018


def test_dir_lists_the_api_also_before_anything_was_used() -> None:
    code = "import syncsvc; print(*dir(syncsvc))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, timeout=30, capture_output=True, text=True).stdout
    assert shown.split() == sorted(NAMES) == dir(syncsvc)


def test_every_error_of_ours_that_a_client_raises_can_be_caught_by_its_name() -> None:
    ours = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    raised: set[str] = set()
    root = Path(syncsvc.__file__).parent
    for path in (*root.glob("client/*.py"), *root.glob("wire/*.py"), root / "model.py", root / "layout.py"):
        raised |= set(re.findall(r"raise (\w+)\(", path.read_text()))
    assert raised & ours - INTERNAL <= set(syncsvc.__all__)
    assert {"UsageError", "SubscriptionEnded"} <= raised


def test_what_a_subscriber_hands_out_can_be_named(tmp_path: Path) -> None:
    with syncsvc.Subscriber(f"ipc://{tmp_path}/nobody") as batches:
        assert isinstance(batches.stats, syncsvc.SubscriberStats)
    with pytest.raises(syncsvc.SubscriberClosed):
        batches.poll()
    with pytest.raises(syncsvc.UsageError):
        syncsvc.Subscriber("nowhere")


def test_the_import_starts_nothing_and_loads_nothing() -> None:
    code = """
import os, sys, threading
before = set(os.listdir("/proc/self/fd")), set(sys.modules)
import syncsvc
assert threading.active_count() == 1
assert set(os.listdir("/proc/self/fd")) == before[0]
assert not {"numpy", "zmq", "msgspec", "av", "cv2"} & (set(sys.modules) - before[1]), "loaded on first use"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_the_daemon_starts_without_what_it_does_not_need() -> None:
    code = """
import sys
import syncsvc.daemon.daemon
assert not {"numpy", "zmq", "av", "cv2", "multiprocessing", "prometheus_client", "rich"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
