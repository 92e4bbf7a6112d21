"""What the service tells of itself, and the number that rises with each change of it."""

import json

import msgspec
from msgspec import structs

from syncsvc.model import StreamState
from syncsvc.observe.status import IngestStatus, Revisions, ServiceStatus
from tests.statuses import GROUP, SERVICE, STREAM


def test_the_number_rises_with_each_change_and_stays_while_only_time_passes() -> None:
    revisions: Revisions[ServiceStatus] = Revisions()
    older = {"a": structs.replace(STREAM, last_frame_age_ms=99.0, position_age_ms=99)}
    told = [
        SERVICE,
        SERVICE,
        structs.replace(SERVICE, streams=older, groups={"g": structs.replace(GROUP, last_batch_age_ms=99.0)}),
        structs.replace(SERVICE, streams={"a": structs.replace(STREAM, state=StreamState.STALLED)}),
        structs.replace(SERVICE, groups={"g": structs.replace(GROUP, batches=4)}),
        SERVICE,
    ]
    assert [revisions.number(status).revision for status in told] == [1, 1, 1, 2, 3, 4]


def test_what_is_told_keeps_its_ages() -> None:
    revisions: Revisions[ServiceStatus] = Revisions()
    assert structs.replace(revisions.number(SERVICE), revision=0) == SERVICE


def test_it_comes_back_from_json_as_it_was() -> None:
    data = msgspec.json.encode(SERVICE)
    assert msgspec.json.decode(data, type=ServiceStatus) == SERVICE
    assert json.loads(data)["streams"]["a"]["state"] == "live"


def test_a_stream_that_nobody_heard_yet_is_starting() -> None:
    unheard = IngestStatus()
    assert (unheard.state, unheard.clock, unheard.captured) == (StreamState.STARTING, None, 0)
