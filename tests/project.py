"""The project's own files as values, for the tests that hold what they say against what is true."""

import os
from functools import cache
from pathlib import Path

import click

from syncsvc import cli

ROOT = Path(__file__).parents[1]
GENERATED = {".git", ".venv", "dist", "build", "__pycache__", ".hypothesis"}


@cache
def texts() -> dict[str, str]:
    """Every text file of the project, by its path in it."""
    found = {}
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in GENERATED and not name.endswith("_cache")]
        for name in sorted(set(names) - GENERATED):  # .git is a file where several folders share one
            path = Path(folder, name)
            try:
                found[path.relative_to(ROOT).as_posix()] = path.read_text()
            except UnicodeDecodeError:
                continue  # pictures and test vectors
    return found


def parse(arguments: list[str]) -> None:
    """Read a command line as the command does, without running it; raises ``click.UsageError``."""
    with click.Context(cli.main) as context:
        command = cli.main.get_command(context, arguments[0])
        assert command is not None, f"{arguments[0]} is no command"
        command.make_context(arguments[0], list(arguments[1:]), parent=context)
