"""Who is let in over HTTP, by the headers of the request alone."""

import pytest

from syncsvc.daemon.http_door import HttpDoor

TOKEN = "canary-3f9c1b7a"
LOCKED = HttpDoor(TOKEN, ("edge", "cameras.example.org"))


@pytest.mark.parametrize("host", ["10.0.0.5", "10.0.0.5:8080", "[fd00::1]:80", "edge:8080", "Cameras.Example.ORG"])
def test_with_a_token_own_names_and_addresses_in_numbers_are_ours(host: str) -> None:
    assert LOCKED.refusal(host, "/metrics", f"Bearer {TOKEN}") is None


@pytest.mark.parametrize("host", ["", "evil.example", "edge.evil.example:8080", "10.0.0.5.evil.example", "localhost."])
@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_foreign_names_are_misdirected_whoever_asks_for_whatever(host: str, path: str) -> None:
    refusal = LOCKED.refusal(host, path, f"Bearer {TOKEN}")
    assert refusal is not None
    assert refusal.code == 421


@pytest.mark.parametrize("host", ["10.0.0.5", "edge", "[fd00::1]"])
def test_without_a_token_loopback_alone_is_ours(host: str) -> None:
    refusal = HttpDoor(None, ("edge",)).refusal(host, "/healthz", "")
    assert refusal is not None
    assert refusal.code == 421
    assert HttpDoor(None, ("edge",)).refusal("127.0.0.1:8080", "/metrics", "") is None


@pytest.mark.parametrize(
    "said", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, f"Bearer {TOKEN[:-1]}", "Bearer é"]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.5"])
def test_without_the_token_everything_but_healthz_is_refused_on_loopback_too(said: str, host: str) -> None:
    for path in ("/readyz", "/metrics", "/api/status", "/", "/healthz/", "/Healthz"):
        refusal = LOCKED.refusal(host, path, said)
        assert refusal is not None
        assert refusal.code == 401
        assert TOKEN not in refusal.text
    assert LOCKED.refusal(host, "/healthz", said) is None
    assert TOKEN not in repr(LOCKED)
