"""What a command that serves takes on its command line, as `security` is in a configuration: keys and clients."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from syncsvc.certificates import Guard, read_guard
from syncsvc.config.urls import RefusedError, endpoint, is_loopback
from syncsvc.errors import UsageError

_FOLDER: Final = click.Path(path_type=Path)


def guarded(keys: str, clients: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command two options of these names, for a service's folders as `syncsvc keys new` makes them."""

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        own = "The service's keys (`syncsvc keys new`): every tcp socket then speaks CURVE."
        listed = "Who is let in: a folder with NAME.key of each client."
        command = click.option(clients, "served_clients", metavar="DIR", type=_FOLDER, help=listed)(command)
        return click.option(keys, "served_keys", metavar="DIR", type=_FOLDER, help=own)(command)

    return with_options


def guard_of(
    keys: Path | None, clients: Path | None, names: tuple[str, str], served: Mapping[str, str]
) -> Guard | None:
    """Who is let in, of the two folders; None where there are none.

    Args:
        keys: the folder of the service's own keys.
        clients: that of its clients.
        names: of the two options.
        served: by option, the endpoints that are to be bound.

    Raises:
        UsageError: an endpoint cannot be one, is off loopback without keys, or one folder is there without the other.
        ConfigError: a file in them is missing, none, or a secret that others can read.
    """
    if (keys is None) != (clients is None):
        raise UsageError(f"{names[0]} and {names[1]} belong together: give both, or neither")
    for option, place in served.items():
        try:
            found = endpoint(place)
        except RefusedError as error:
            raise UsageError(f"{option}: {error}") from None
        if keys is None and isinstance(found, tuple) and not is_loopback(found[0]):
            allowed = f"127.0.0.0/8, localhost or [::1]; any other address needs {names[0]} and {names[1]}"
            raise UsageError(f"{option}: found '{place}', which is off loopback; allowed: {allowed}")
    return None if keys is None or clients is None else read_guard(keys, clients)
