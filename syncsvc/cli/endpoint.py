"""What ENDPOINT means on a command line: an endpoint, the configuration that has it, or nothing: the default."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from syncsvc.client.live import DEFAULT_LIVE, check_endpoint
from syncsvc.errors import UsageError


class Endpoints(NamedTuple):
    """Where a service is; ``control`` is empty where only ``live`` was said."""

    live: str
    control: str = ""


def endpoints_of(said: str | None) -> Endpoints:
    """The endpoints that somebody means.

    Raises:
        ConfigError: it is a configuration, and not a valid one.
        UsageError: it is neither, or one whose ports only the service knows.
    """
    if said is None:
        return Endpoints(DEFAULT_LIVE)
    if "://" in said or not Path(said).exists():
        try:
            check_endpoint(said)
        except UsageError as error:
            raise (
                error if "://" in said else UsageError(f"{error}, or a configuration: there is no such file")
            ) from None
        return Endpoints(said)
    from syncsvc.config.loader import load

    publish = load(said, _Environment(), files=False).publish
    for endpoint in (publish.live, publish.control):
        if endpoint.startswith("tcp://") and endpoint.endswith(":0"):
            raise UsageError(f"{said}: has {endpoint}: the service takes a free port; its `ready` line says which")
    return Endpoints(publish.live, publish.control)


class _Environment(Mapping[str, str]):
    """The environment, and something for each password that is not in it: nobody is logged in to here."""

    def __getitem__(self, name: str) -> str:
        return os.environ.get(name, "unset")

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)
