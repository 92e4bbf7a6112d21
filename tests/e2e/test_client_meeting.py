"""What a subscriber says of a service that is not there, or not the one that was meant; and what it costs to ask."""

import asyncio
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncsvc import AsyncSubscriber, NoAnswer, Subscriber, SubscriberClosed, UnknownGroup, UsageError
from tests.batches import batch
from tests.e2e.harness import Service, command, wait_for
from tests.e2e.httpcamera import PERIOD_US, video
from tests.e2e.livesocket import LiveSocket
from tests.e2e.strangers import Stranger, another_program, nobody, silent, web_server

ROOT = Path(__file__).parents[2]
WAIT_S = 30.0
STREAMS = {name: {"url": "synthetic:?fps=25&size=320x180", "pixels": "gray8"} for name in ("a", "b")}
GROUPS = {"yard": {"streams": ["a", "b"]}, "lobby": {"streams": ["a"]}}
TOLD = {
    nobody: "no service is there (Connection refused); `syncsvc run CONFIG` starts one",
    web_server: "an HTTP server is there, not a service's `live` or `control`",
    silent: "who is there says nothing",
    another_program: "a program that speaks ZeroMQ is there, but it does not say that it is a syncsvc service",
}
MAY_COME = {nobody: True, web_server: False, silent: True, another_program: True}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), STREAMS, groups=GROUPS) as service:
        yield service


@pytest.mark.parametrize("who", TOLD, ids=lambda who: who.__name__)
@pytest.mark.parametrize("mode", ["live", "local", "auto"])
def test_who_is_there_instead_of_a_service_is_raised(who: Stranger, mode: Any) -> None:
    if mode == "local" and who is another_program:
        pytest.skip("it shares no memory: another test")
    with who() as endpoint, Subscriber(endpoint, mode=mode) as batches, pytest.raises(NoAnswer) as raised:
        batches.wait_ready()
    assert str(raised.value) == f"{endpoint}: {TOLD[who]}"
    assert (raised.value.endpoint, raised.value.may_come) == (endpoint, MAY_COME[who])


@pytest.mark.parametrize("who", TOLD, ids=lambda who: who.__name__)
def test_who_waits_learns_it_from_the_log_once_and_waits_on(who: Stranger, caplog: pytest.LogCaptureFixture) -> None:
    with who() as endpoint, Subscriber(endpoint) as batches:

        def told() -> list[str]:
            with pytest.raises(TimeoutError):
                batches.receive(0.05)
            return [record.getMessage() for record in caplog.records if record.name.startswith("syncsvc.client")]

        assert wait_for(told, "a line") == [f"{endpoint}: {TOLD[who]}; waiting for it"]
        assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_asyncio_learns_it_too(caplog: pytest.LogCaptureFixture) -> None:
    async def body(endpoint: str) -> None:
        async with AsyncSubscriber(endpoint) as batches:
            while not caplog.records:
                with pytest.raises(TimeoutError):
                    await batches.receive(0.05)
            with pytest.raises(NoAnswer, match="no service is there"):
                await batches.wait_ready()

    with nobody() as endpoint:
        asyncio.run(body(endpoint))


def test_a_service_that_comes_is_met_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "syncsvc.client")
    endpoint = f"ipc://{tmp_path}/live"
    with Subscriber(endpoint, "lobby") as batches:
        with pytest.raises(NoAnswer, match="No such file or directory"):
            batches.wait_ready()
        with LiveSocket(endpoint) as live:
            live.wait_for(b"batch/lobby", meanwhile=batches.poll)
            live.send(batch(0))
            assert batches.receive(WAIT_S).seq == 0
    assert caplog.records[-1].getMessage() == f"{endpoint}: the service is there"


def test_a_service_that_goes_is_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = f"ipc://{tmp_path}/live"
    with Subscriber(endpoint, "lobby") as batches:
        with LiveSocket(endpoint) as live:
            live.wait_for(b"batch/lobby", meanwhile=batches.poll)
            live.send(batch(0))
            assert batches.receive(WAIT_S).seq == 0
        caplog.clear()
        wait_for(lambda: batches.poll() or caplog.messages, "a line")
        assert caplog.messages[0].startswith(f"{endpoint}: no service is there")


@pytest.mark.parametrize("mode", ["live", "local", "auto"])
def test_a_service_is_ready_before_its_first_batch(service: Service, mode: Any) -> None:
    with Subscriber(service.live, "lobby", mode) as batches:
        batches.wait_ready(WAIT_S)
        assert batches.stats.received == 0
        assert batches.receive(WAIT_S).group == "lobby"

    async def body() -> str:
        async with AsyncSubscriber(service.live, "yard", mode) as batches:
            await batches.wait_ready(WAIT_S)
            return (await batches.receive(WAIT_S)).group

    assert asyncio.run(body()) == "yard"


@pytest.mark.parametrize("mode", ["live", "local", "auto"])
def test_an_unknown_group_is_raised_with_those_that_there_are(
    service: Service, mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Subscriber(service.live, "jard", mode) as batches:
        with pytest.raises(UnknownGroup, match=r"there is no group 'jard'; the service has: yard, lobby$") as raised:
            batches.wait_ready(WAIT_S)
        assert (raised.value.group, raised.value.groups) == ("jard", ("yard", "lobby"))
    assert isinstance(raised.value, UsageError)
    with Subscriber(service.live, "jard", mode) as batches:

        def told() -> list[str]:
            with pytest.raises(TimeoutError):
                batches.receive(0.05)
            return [record.getMessage() for record in caplog.records]

        assert wait_for(told, "a line") == [f"{raised.value}; waiting for it"]


def test_an_unknown_group_is_told_beside_one_that_comes(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with Subscriber(service.live, ["lobby", "jard"]) as batches:
        assert batches.receive(WAIT_S).group == "lobby"
        with pytest.raises(UnknownGroup, match="there is no group 'jard'; the service has: yard, lobby"):
            batches.wait_ready(WAIT_S)
    caplog.clear()  # the first batch may have been long in coming
    with Subscriber(service.live, ["lobby", "jard"]) as batches:
        wait_for(lambda: batches.receive(WAIT_S) and caplog.messages, "a line")
        assert caplog.messages == [f"{UnknownGroup(service.live, 'jard', ['yard', 'lobby'])}; waiting for it"]


def test_control_is_not_live_and_says_where_that_is(service: Service) -> None:
    with Subscriber(service.control) as batches, pytest.raises(NoAnswer) as raised:
        batches.wait_ready(WAIT_S)
    assert raised.value.problem == f"that is the `control` of a service; its `live` is {service.live}"
    assert not raised.value.may_come


def test_a_question_makes_no_subscription(tmp_path: Path) -> None:
    """A service that waits for two subscriptions has one, however long that one waits, and whatever it asks."""
    with (
        Service(tmp_path, STREAMS, groups=GROUPS, publish={"wait_for": 2}) as service,
        Subscriber(service.live, "jard") as batches,
    ):
        wait_for(lambda: service.status()["subscriptions"] == 1, "the subscription")
        for _ in range(3):
            with pytest.raises(UnknownGroup):
                batches.wait_ready(WAIT_S)
            assert service.status()["subscriptions"] == 1


def test_mode_local_is_not_to_be_had_where_nobody_shares_memory() -> None:
    with LiveSocket() as live, Subscriber(live.endpoint, mode="local") as batches:
        with pytest.raises(UsageError, match="mode 'local' is not to be had, 'live' is"):
            batches.wait_ready(WAIT_S)
        assert batches.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_told_that_memory_is_not_shared_with_him(service: Service) -> None:
    code = (
        "import encodings.idna, os, sys; from syncsvc import Subscriber, UsageError\n"
        "batches = Subscriber(sys.argv[1], mode='local'); batches.close()\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "with Subscriber(sys.argv[1], mode='local') as batches:\n"
        "    try: batches.wait_ready(30)\n"
        "    except UsageError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, service.live], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert "mode 'local' shares memory with processes of the service's own user only" in done.stdout, done.stderr


def test_a_question_ends_with_its_subscriber() -> None:
    with silent() as endpoint:
        batches = Subscriber(endpoint)
        with pytest.raises(NoAnswer):
            batches.wait_ready(0.01)
        batches.close()
        with pytest.raises(SubscriberClosed):
            batches.wait_ready()
        assert batches._outlook._thread is not None
        assert not batches._outlook._thread.is_alive()


def tail(*words: str) -> tuple[int, str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "syncsvc", "tail", *words], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


def test_tail_ends_with_one_line_where_waiting_does_not_help(service: Service) -> None:
    code, out, err = tail(service.live, "--group", "jard")
    assert (code, out) == (2, "")
    assert err == [f"syncsvc: {service.live}: there is no group 'jard'; the service has: yard, lobby"]
    code, out, err = tail(service.control)
    assert (code, out) == (1, "")
    assert err == [f"syncsvc: {service.control}: that is the `control` of a service; its `live` is {service.live}"]
    with web_server() as endpoint:
        assert tail(endpoint) == (1, "", [f"syncsvc: {endpoint}: {TOLD[web_server]}"])


def test_tail_says_that_it_waits_and_goes_on_when_the_service_is_there(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/live"
    with command("tail", endpoint, "--count", "1") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert re.fullmatch(
            rf"syncsvc: {endpoint}: no service is there \(.*\); .*; waiting for it\n", process.stderr.readline()
        )
        with LiveSocket(endpoint) as live:
            live.wait_for(b"head/")
            live.send(batch(3))
            assert "lobby #3" in process.stdout.readline()
        assert process.wait(WAIT_S) == 0
        assert process.stderr.read() == f"syncsvc: {endpoint}: the service is there\n"


def test_a_timeout_says_what_was_there() -> None:
    with nobody() as endpoint:
        code, out, err = tail(endpoint, "--timeout", "1.9")
    assert (code, out, err) == (1, "", [f"syncsvc: {endpoint}: no batch within 1.9 s: {TOLD[nobody]}"])


def test_a_service_that_waits_for_subscriptions_says_for_how_many(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(video({n: n * PERIOD_US for n in range(50)}, "mp4"))
    clip = {"clip": {"url": "file:clip.mp4"}}
    with Service(tmp_path, clip, publish={"wait_for": 2}) as service:
        said = "recordings wait for subscriptions on `live`: {} of 2 are there".format
        wait_for(lambda: said(0) in service.log, "its word")
        with service.subscribe():
            wait_for(lambda: said(1) in service.log, "its word on the first")
            assert "recordings begin" not in service.log
            with service.subscribe():
                wait_for(lambda: "recordings begin: all 2 subscriptions on `live` are there" in service.log, "its word")
