"""The frame of every command: found by name, loaded when called, and one place that turns errors into exit codes."""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from syncsvc import __version__
from syncsvc.cli.log_options import log_options
from syncsvc.errors import (
    BindError,
    ConfigError,
    LogError,
    MemoryShortage,
    RecordingBroken,
    SyncsvcError,
    UsageError,
)
from syncsvc.observe.logs import say

EXIT_USAGE: Final = 2
EXIT_CONFIG: Final = 78  # EX_CONFIG of sysexits.h: a restart would not help
EXIT_INTERRUPTED: Final = 130


class Entry(NamedTuple):
    """The module of this room that a command lives in, and what the list of commands says of it."""

    module: str
    summary: str


COMMANDS: Final = {
    "run": Entry("run", "Run the daemon in the foreground."),
    "check": Entry("check", "Validate a configuration."),
    "tail": Entry("tail", "Print one line per batch of a running daemon."),
    "stills": Entry("stills", "Write the pictures of a running daemon to files."),
    "process": Entry("process", "Call a function for every frame or set, in worker processes."),
    "view": Entry("view", "One picture of what a running daemon sees now."),
    "discover": Entry("discover", "Find the ONVIF cameras of the network, and their streams."),
    "init": Entry("init", "Write a configuration for some URLs."),
    "status": Entry("service_status", "Show how a running daemon is."),
    "align": Entry("align", "Make the decisions of an observation log again."),
    "demo": Entry("demo", "Virtual cameras, daemon and subscriber in one, with a verdict."),
    "record": Entry("record", "Record a running daemon into a folder."),
    "verify": Entry("verify", "Hold a recording against itself."),
    "replay": Entry("replay", "Serve a recording as the live run was served."),
    "export": Entry("export", "Make a data set of a recording: LeRobot, WebDataset."),
    "doctor": Entry("doctor", "Measure the streams of a configuration, and propose its bounds."),
    "cameras": Entry("cameras", "Serve virtual RTSP cameras with known true times."),
    "bench": Entry("bench", "Measure, side by side with what it is compared to."),
    "keys": Entry("keys", "Keys for a service and its clients: new, client, revoke."),
    "schema": Entry("check", "Print the JSON Schema of the configuration."),
}


class LazyGroup(click.Group):
    """Imports a command's module when that command is called; ``--help`` imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, its module imported."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"syncsvc.cli.{entry.module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def main(  # type: ignore[override]  # the base is overloaded on standalone_mode, which is always on here
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> None:
        """Run a command and exit: the only place where an error becomes a line and a code."""
        extra["standalone_mode"] = False
        try:
            code = super().main(args, prog_name, **extra)
            sys.stdout.flush()
        except SyncsvcError as error:
            code = _fail(str(error), exit_code_of(error))
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "syncsvc"
            code = _fail(f"{error.format_message()} (see `{command} --help`)", EXIT_USAGE)
        except click.ClickException as error:
            code = _fail(error.format_message(), error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            code = EXIT_INTERRUPTED
        except BrokenPipeError:  # the reader of our output left, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def exit_code_of(error: SyncsvcError) -> int:
    """2 for a wrong command line, 78 for what only a person can mend, 1 for the rest: a recording is as it is."""
    if isinstance(error, UsageError):
        return EXIT_USAGE
    if isinstance(error, RecordingBroken):
        return 1
    return EXIT_CONFIG if isinstance(error, ConfigError | BindError | MemoryShortage | LogError) else 1


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(BrokenPipeError):
        say(message, "error")
    return code


@click.group(
    name="syncsvc",
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: syncsvc check configs/two-cameras.yaml && syncsvc run configs/two-cameras.yaml",
)
@click.version_option(__version__, message="syncsvc %(version)s")
@log_options
@click.pass_context
def main(ctx: click.Context) -> None:
    """The frames that all your cameras took at the same moment."""
    if ctx.invoked_subcommand is None:
        raise click.UsageError(f"which command? One of {', '.join(COMMANDS)}", ctx)
