"""Where the service is reached: the keys `publish` and `http`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from syncsvc.config.strictness import Model, read_by
from syncsvc.config.urls import endpoint, host_and_port

_BIND: Final = "HOST:PORT, for example 127.0.0.1:8080 (port 0 takes a free one)"
Bind = Annotated[str, read_by(partial(host_and_port, allowed=_BIND))]
Endpoint = Annotated[str, read_by(endpoint)]


class Publish(Model):
    """Where batches leave."""

    live: Endpoint = "tcp://127.0.0.1:5555"
    """XPUB endpoint of batches: tcp://HOST:PORT, or ipc:///path; off loopback it takes security.keys."""
    control: Endpoint = "tcp://127.0.0.1:5556"
    """ROUTER endpoint of hello, status and mode lossless: tcp://HOST:PORT, or ipc:///path; likewise."""
    history: Annotated[int, Field(ge=0, le=10_000)] = 8
    """Batches per group kept for lossless subscribers, once one is there; 0 switches the mode off."""
    history_mb: Annotated[int, Field(ge=1, le=1_048_576)] = 512
    """MiB of them that are kept at most, over all groups."""
    wait_for: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Subscriptions to wait for before file streams start (recordings, tests)."""


class Tls(Model):
    """A certificate for HTTP."""

    cert: Path
    """PEM file with the certificate and those between it and its authority; relative to this file."""
    key: Path
    """PEM file with its private key, which only we, and perhaps our group, can read."""


class Http(Model):
    """Health, metrics and status over HTTP."""

    bind: Bind = "127.0.0.1:8080"
    """HOST:PORT; port 0 takes a free one. Off loopback it takes security.http_token."""
    tls: Tls | None = None
    """{cert: FILE, key: FILE} serves HTTPS; null is plain HTTP."""
