"""How a command, or every one, logs: which lines, as text or as JSON."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from syncsvc.observe import logs

Result = TypeVar("Result")


def log_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command ``--log-level`` and ``--log-format``; it is called once they count.

    Where both ``syncsvc`` and its command are told, the command is right: it reads the other's word as its default.
    """

    @click.option(
        "--log-level",
        type=click.Choice(logs.LEVELS),
        default="info",
        show_default=True,
        envvar=logs.LEVEL_VARIABLE,
        help="The least that is logged.",
    )
    @click.option(
        "--log-format",
        type=click.Choice(logs.FORMATS),
        default="text",
        show_default=True,
        envvar=logs.FORMAT_VARIABLE,
        help="json: an object per line, with time (UTC), level, process and message.",
    )
    @wraps(command)
    def with_logs(*arguments: Any, log_level: str, log_format: str, **named: Any) -> Result:
        logs.choose(log_level, log_format)
        return command(*arguments, **named)

    return with_logs
