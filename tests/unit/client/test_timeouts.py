"""What callers may write for the longest wait: numbers, None, infinity, and nothing else."""

import math
import threading

import pytest

from syncsvc.client.presence import Patience
from syncsvc.client.timeouts import Deadline
from syncsvc.errors import UsageError
from syncsvc.lifecycle import StopToken, Worker, patience_of
from syncsvc.pool.calls import PoolCall
from syncsvc.pool.parcels import Parcel
from tests.unit.client.test_latest import Subscription


@pytest.mark.parametrize("timeout_s", [None, math.inf, 1e300, 10**400])
def test_for_ever_may_be_said_in_any_way(timeout_s: float | None) -> None:
    assert Deadline(timeout_s).left_ms() is None
    assert 0 < Patience(patience_of(timeout_s)).left_ms() < 2**31, "what poll(2) takes"
    assert not Subscription().search(timeout_s).is_over()


@pytest.mark.parametrize("timeout_s", [-math.inf, -1e300, -1, 0, 1e-12])
def test_no_patience_at_all_is_over_at_once(timeout_s: float) -> None:
    with pytest.raises(TimeoutError):
        Deadline(timeout_s).left_ms()
    assert Patience(patience_of(timeout_s)).left_ms() == 0
    assert Patience(timeout_s).left_ms() == 0


def test_no_number_is_refused_in_words() -> None:
    for wait in (Deadline, Subscription().search):
        with pytest.raises(UsageError, match=r"^timeout_s: found nan; allowed: seconds, or None to wait for ever$"):
            wait(math.nan)


def test_a_call_of_a_pool_is_waited_for_as_long() -> None:
    changed = threading.Condition()
    call = PoolCall(1, Parcel(b"", [], [], [], {}), math.inf, changed, lambda _: False)
    assert call.timeout_ns is None

    def settle(_: StopToken) -> None:
        with changed:
            call.settle((b"", []))

    with Worker("settles", settle):
        assert call.wait(math.inf)
