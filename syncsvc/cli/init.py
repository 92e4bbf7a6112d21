"""``syncsvc init``: from URLs to a configuration that runs, without a password in it."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import ConfigError, UsageError
from syncsvc.observe.logs import configure, one_line, redact, said

if TYPE_CHECKING:
    from syncsvc.capture.probe import Sight
    from syncsvc.config.draft import DraftedStream
    from syncsvc.config.models import Config


@click.command(epilog="Example: syncsvc init rtsp://admin:secret@10.0.0.11/stream1 --out cameras.yaml")
@click.argument("urls", metavar="[URL...]", nargs=-1)
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Where to; a file that is there is left alone."
)
def init(urls: tuple[str, ...], out: Path | None) -> None:
    """Write a commented configuration for the cameras or recordings at these URLs, each opened once.

    Without --out it goes to standard output, without a URL its streams are made up. Passwords become ${VARIABLES}, and
    are never written. A camera that does not answer is written too, with what it said.
    """
    from syncsvc.config.draft import drafted, text_of
    from syncsvc.config.urls import RefusedError

    if out is not None and os.path.lexists(out):
        raise UsageError(f"{out}: is there already, and is left alone; name another file")
    if out is not None and not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: there is no such folder")
    try:
        streams = drafted([_in_file(url, out) for url in urls])
    except RefusedError as refused:
        raise UsageError(f"found {refused.found}; allowed: {refused.allowed}") from None
    values = {key: value for stream in streams for key, value in stream.values.items()}
    name = str(out or "syncsvc.yaml")
    written = f"{datetime.fromtimestamp(SYSTEM_CLOCK.utc_ns() // NS_PER_S, UTC):%Y-%m-%d %H:%M} UTC"
    try:
        config = _load(text_of(streams, {}, 0.0, file=name, written=written), name, out, values)
    except ConfigError as refused_config:
        raise UsageError(f"{refused_config.key or name}: {refused_config.problem}") from None
    configure("init", config.secrets | set(values.values()))
    seen = _probe(config, streams, values)
    words = {stream: one_line(redact(sight.text)) for stream, sight in seen.items()}
    slowest = min((sight.fps for sight in seen.values() if sight.is_there and sight.fps), default=0.0)
    text = text_of(streams, words, slowest, file=name, written=written)
    _load(text, name, out, values)
    if out is None:
        click.echo(text, nl=False)
    else:
        _write(out, text)
        click.echo(said(f"wrote {out}"), err=True)
    if values:
        click.echo(said(f"set {', '.join(values)} in the environment before `run`, as in the URLs"), err=True)


def _in_file(url: str, out: Path | None) -> str:
    """The URL as the file has it: a path alone is a recording, and paths are relative to the file."""
    if ":" not in url and Path(url).is_file():
        url = f"file:{url}"
    path = url.removeprefix("file:")
    folder = out.absolute().parent if out is not None else Path.cwd()
    if path == url or path.startswith("/") or folder == Path.cwd():
        return url
    return f"file:{Path(path).absolute()}"


def _load(text: str, name: str, out: Path | None, values: dict[str, str]) -> "Config":
    from syncsvc.config.loader import loads

    folder = out.absolute().parent if out is not None else Path.cwd()
    return loads(text, name, folder, {**os.environ, **values}, files=True)


def _probe(config: "Config", streams: "list[DraftedStream]", values: dict[str, str]) -> "dict[str, Sight]":
    from syncsvc.capture.probe import probe_streams
    from syncsvc.daemon.planning import capture_spec

    seen = {}
    for name, sight in probe_streams(
        [capture_spec(stream.name, config.streams[stream.name], config) for stream in streams],
        without=config.variables | values.keys(),
    ):
        click.echo(f"{name}: {'ok' if sight.is_there else 'FAILED'}: {one_line(redact(sight.text))}", err=True)
        seen[name] = sight
    return seen


def _write(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{out}: is there already, and is left alone; name another file") from None
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from error
