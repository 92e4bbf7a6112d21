"""Looks for the files that a configuration names."""

import os
from collections.abc import Iterator

from syncsvc.config.models import Config, FileStream
from syncsvc.config.refusals import one_line
from syncsvc.errors import ConfigError


def absent_files(config: Config) -> Iterator[tuple[str, str, str]]:
    """Stream, key and problem of every file that the configuration names and that is not there."""
    for name, stream in config.streams.items():
        if not isinstance(stream, FileStream):
            continue
        for key, path in (("url", stream.path), ("timestamps", stream.timestamps)):
            if path is None or (os.path.isfile(path) and os.access(path, os.R_OK)):
                continue
            what = (
                "a directory" if os.path.isdir(path) else "no file" if not os.path.exists(path) else "no readable file"
            )
            yield name, key, f"found {what} at '{one_line(str(path))}'; allowed: a file that exists"


def check_files(config: Config, source_name: str = "configuration") -> None:
    """Look for the files that the configuration names.

    Raises:
        ConfigError: a recording or its timestamps are not there.
    """
    for name, key, problem in absent_files(config):
        raise ConfigError(source_name, problem, key=f"streams.{name}.{key}")
