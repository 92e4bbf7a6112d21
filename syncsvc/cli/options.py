"""Options that several commands have, each said once; ``following.ends`` has those of when a command ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def of_group(command: Command) -> Command:
    """Give a command ``--group``."""
    return click.option("--group", metavar="G", help="Only this group; without it, all.")(command)


def keyed(command: Command) -> Command:
    """Give a command that connects to a service ``--keys``: where this client's keys are."""
    folder = click.Path(path_type=Path)
    said = "This client's keys (`syncsvc keys client`), for a service with `security`; without it, of SYNCSVC_KEYS."
    return click.option("--keys", metavar="DIR", type=folder, help=said)(command)


def json_at_end(command: Command) -> Command:
    """Give a command ``--json`` for its report; it is called with ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")(command)


def when_late(otherwise: str) -> Callable[[Command], Command]:
    """Give a command ``--when-late drop|wait``; ``otherwise`` says what it does then."""
    words, said = click.Choice(["drop", "wait"]), f"When it cannot keep up: {otherwise}"
    return click.option("--when-late", type=words, default="drop", show_default=True, help=said)
