"""What may stand for ENDPOINT: nothing, an endpoint, or the configuration that has it."""

import json
from inspect import signature
from pathlib import Path

import pytest

from syncsvc import AsyncSubscriber, Subscriber
from syncsvc.cli.endpoint import Endpoints, endpoints_of
from syncsvc.client.live import DEFAULT_LIVE
from syncsvc.config.serving import Publish
from syncsvc.errors import UsageError


def test_nothing_stands_for_the_default_of_the_configuration() -> None:
    assert endpoints_of(None) == Endpoints(DEFAULT_LIVE)
    assert Publish().live == DEFAULT_LIVE
    for kind in (Subscriber, AsyncSubscriber):
        assert signature(kind).parameters["endpoint"].default == DEFAULT_LIVE


def test_a_configuration_stands_for_its_endpoints(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    publish = {"live": f"ipc://{tmp_path}/live", "control": "tcp://127.0.0.1:7001"}
    path.write_text(json.dumps({"streams": {"a": {"url": "synthetic:"}}, "publish": publish}))
    assert endpoints_of(str(path)) == Endpoints(publish["live"], publish["control"])


@pytest.mark.parametrize(
    ("said", "end"),
    [("tcp://nowhere", "and ipc:///PATH"), ("site.yaml", "and ipc:///PATH, or a configuration: there is no such file")],
)
def test_what_is_neither_is_told_what_there_may_be(said: str, end: str) -> None:
    with pytest.raises(UsageError) as raised:
        endpoints_of(said)
    assert str(raised.value) == f"endpoint {said!r}: allowed are tcp://HOST:PORT {end}"
