"""How long a question may take, and whose address a service gives."""

from contextlib import closing
from pathlib import Path

import pytest
import zmq

from syncsvc.client import inquiry, outlook, presence
from syncsvc.client.attached import READY_S
from syncsvc.client.presence import Patience
from syncsvc.errors import NoAnswer
from syncsvc.transport import leasing


def test_all_waits_together_end_within_two_seconds() -> None:
    assert inquiry.PATIENCE_S + presence.LOOK_S <= 2.0
    assert presence.CONNECT_S + 2 * presence.LOOK_S < 2.0
    assert outlook.FIRST_S + outlook.PATIENCE_S < READY_S == 2.0
    assert inquiry._GUESSES_S + 1.0 < inquiry.PATIENCE_S, "`live` repeats where `control` is once a second"


@pytest.mark.parametrize(
    ("control", "asked", "expected"),
    [
        ("tcp://127.0.0.1:5556", "tcp://10.0.0.5:5555", "tcp://10.0.0.5:5556"),
        ("tcp://10.0.0.9:5556", "tcp://10.0.0.5:5555", "tcp://10.0.0.9:5556"),
        ("ipc:///run/control", "ipc:///run/live", "ipc:///run/control"),
    ],
)
def test_a_service_that_calls_itself_localhost_is_asked_where_it_was_found(
    control: str, asked: str, expected: str
) -> None:
    assert inquiry._as_seen_from_here(control, asked) == expected


def test_who_looks_for_control_makes_no_subscription_where_the_service_is_only_slow(tmp_path: Path) -> None:
    live = f"ipc://{tmp_path}/live"
    with closing(leasing.listen(live)), zmq.Context() as context, context.socket(zmq.XPUB) as sock:
        sock.bind(live)
        with pytest.raises(NoAnswer, match="it does not answer: the service is stuck, or stops"):
            inquiry.find_control(live, Patience(0.6))
        assert not sock.poll(0), "a service that waits for its subscribers would have begun"
