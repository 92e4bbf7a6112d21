"""From a YAML file to a Config, or to one line that says where the file is wrong and what would be right."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import ValidationError

from syncsvc.config.models import NAME_PATTERN, STREAM_MODELS, Config, FileStream
from syncsvc.config.picture_files import is_sequence, pictures_of
from syncsvc.config.refusals import KeyPath, config_error, did_you_mean, one_line, show
from syncsvc.config.schema import Schema, allowed, keys_of, walk
from syncsvc.config.secret_files import token_in, with_keys, with_paths
from syncsvc.config.streamurl import describe
from syncsvc.config.urls import MASK, RefusedError, kind_of, secrets_in
from syncsvc.config.variables import expander
from syncsvc.config.yamltext import MAX_BYTES, Document, decode, parse
from syncsvc.errors import ConfigError

_SHORTEST_SECRET: Final = 3  # masking every "a" of a message would hide the message, not the secret


def load(path: str | Path, environ: Mapping[str, str] = os.environ, *, files: bool = True) -> Config:
    """Read and check a configuration file.

    The arguments are those of ``loads``; relative paths are relative to the file's folder.

    Raises:
        ConfigError: it cannot be read, or is refused; one line, without any password.
    """
    name = str(path)
    data = _read(name)
    return loads(decode(data, name), name, Path(path).absolute().parent, environ, files=files)


def loads(
    text: str,
    source_name: str,
    base_dir: str | Path = ".",
    environ: Mapping[str, str] = os.environ,
    *,
    files: bool = False,
) -> Config:
    """Check a configuration that is already text.

    Args:
        text: YAML.
        source_name: what messages call it.
        base_dir: what relative paths are relative to.
        environ: where ``${NAME}`` takes its value from.
        files: whether the recordings and keys that it names must exist, and its secrets be hidden from others.

    Raises:
        ConfigError: it is refused; one line, without any password.
    """
    secrets: set[str] = set()
    names: set[str] = set()
    try:
        document = parse(text, source_name, expander(environ, secrets, names))
        return _build(document, Path(base_dir), secrets, files).with_variables(names)
    except ConfigError as error:
        raise _masked(error, secrets) from None  # the cause may quote the file


def _read(name: str) -> bytes:
    try:
        with open(name, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise config_error(name, "found no regular file; allowed: a YAML file")
            return file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise config_error(name, "found a directory; allowed: a YAML file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "not a file's name"
        raise config_error(name, f"found no readable file ({reason}); allowed: a YAML file") from None


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)  # a FIFO would block here for ever


def _masked(error: ConfigError, secrets: set[str]) -> ConfigError:
    """The error without any of the passwords that the file or the environment gave, wherever they stood."""
    problem, key = error.problem, error.key
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            problem, key = problem.replace(secret, MASK), key.replace(secret, MASK)
    return ConfigError(error.file, problem, line=error.line, key=key)


def _build(document: Document, base_dir: Path, secrets: set[str], files: bool) -> Config:
    values = document.value
    if not isinstance(values, dict):
        raise document.error((), f"found {show(values)}; allowed: a mapping with `streams`")
    streams = values.get("streams")
    if isinstance(streams, dict):
        for raw in streams.values():
            if isinstance(raw, dict) and isinstance(raw.get("url"), str):
                secrets |= secrets_in(raw["url"])
        values = {**values, "streams": {name: _stream(name, raw, document, base_dir) for name, raw in streams.items()}}
    spool = values.get("spool")
    if isinstance(spool, dict) and isinstance(spool.get("folder"), str) and spool["folder"]:
        values = {**values, "spool": {**spool, "folder": base_dir.absolute() / spool["folder"]}}
    if token := token_in(values):
        secrets.add(token)
    values = with_paths(values, base_dir)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise _first(error, document) from None
    if files:
        for name, key, problem in _absent_files(config):
            path = ("streams", name, key)
            if path in document.written:
                problem = f"found {show(document.written[path])}, where no file is; allowed: a file that exists"
            raise document.error(path, problem)
        config = with_keys(config, document)
    return config


def _absent_files(config: Config) -> Iterator[tuple[str, str, str]]:
    """Stream, key and problem of every file that the configuration names and that is not there."""
    for name, stream in config.streams.items():
        files = {"url": stream.path, "timestamps": stream.timestamps} if isinstance(stream, FileStream) else {}
        for key, path in files.items():
            if path is None or (os.path.isfile(path) and os.access(path, os.R_OK)):
                continue
            if key == "url" and is_sequence(path):
                if not _has_pictures(path):
                    allowed = "a recording, or pictures (.jpg, .png and others)"
                    yield name, key, f"found no picture at '{one_line(str(path))}'; allowed: {allowed}"
                continue
            is_folder, is_there = os.path.isdir(path), os.path.exists(path)
            what = "a directory" if is_folder else "no readable file" if is_there else "no file"
            yield name, key, f"found {what} at '{one_line(str(path))}'; allowed: a file that exists"


def _has_pictures(path: Path) -> bool:
    try:
        return bool(pictures_of(path))
    except OSError:
        return False


def _stream(name: str, raw: Any, document: Document, base_dir: Path) -> dict[str, Any]:
    """One stream as its model takes it: with the kind and whatever else its URL decides."""
    path: KeyPath = ("streams", name)
    if not isinstance(raw, dict):
        raise document.error(path, f"found {show(raw)}; allowed: a mapping with at least `url`")
    url = raw.get("url")
    if "url" not in raw:
        raise document.error(path, "found no `url`; allowed: a mapping with at least `url`")
    if not isinstance(url, str) or not url:
        raise document.error((*path, "url"), f"found {show(url)}; allowed: a URL as text")
    try:
        kind = kind_of(url)
        for key in raw:
            _check_key(key, kind, document, (*path, key))
        stream = {**raw, **describe(url, base_dir)}
    except RefusedError as refusal:
        raise document.error(
            (*path, "url"), _refusal(document, (*path, "url"), refusal.found, refusal.allowed)
        ) from None
    timestamps = raw.get("timestamps")
    if isinstance(timestamps, str) and timestamps:
        stream["timestamps"] = base_dir.absolute() / timestamps
    return stream


def _check_key(key: str, kind: str, document: Document, path: KeyPath) -> None:
    known = keys_of(kind)
    if key in known:
        return
    takers = [other for other in STREAM_MODELS if key in keys_of(other)]
    if takers:
        problem = f"found a key of {' and '.join(takers)} streams in a {kind} stream; allowed: {', '.join(known)}"
        raise document.error(path, problem)
    raise document.error(path, _unknown(key, known))


def _unknown(key: str, known: tuple[str, ...]) -> str:
    return f"found an unknown key{did_you_mean(key, known)}; allowed: {', '.join(known)}"


def _refusal(document: Document, path: KeyPath, found: str, remedy: str) -> str:
    """A value that came from the environment is shown as the file has it."""
    return f"found {show(document.written[path]) if path in document.written else found}; allowed: {remedy}"


def _first(error: ValidationError, document: Document) -> ConfigError:
    """The problem that stands first in the file."""
    problems = [(details["type"], _problem(dict(details), document)) for details in error.errors(include_url=False)]
    # What is missing comes last: most often it is there under a misspelt name.
    return min(problems, key=lambda problem: (problem[0] == "missing", problem[1].line or 0))[1]


def _problem(details: dict[str, Any], document: Document) -> ConfigError:
    context = details.get("ctx", {})
    location = tuple(details["loc"])
    steps = list(walk((*location, *context.get("path", ()))))
    path = tuple(key for key, _ in steps if key is not None)
    schema = steps[-1][1] if steps else {}
    known = tuple(steps[-2][1].get("properties", ()) if len(steps) > 1 else Config.model_fields)
    if path[:1] == ("streams",) and path[2:3] in (
        ("spec",),
        ("fps",),
        ("device_size",),
        ("every_s",),
    ):  # parameters of the URL
        return _parameter(document, path, schema, details)
    if details["type"] == "refused":
        problem = _refusal(document, path, context["found"], context["allowed"])
    elif details["type"] == "missing" and isinstance(path[-1], str):
        problem, path = f"found no `{path[-1]}`; allowed: a mapping with it, of the keys {', '.join(known)}", path[:-1]
    elif details["type"] == "extra_forbidden":
        problem = _unknown(str(path[-1]), known)
    else:
        if details["type"] == "missing":  # an item of a list: the list is what is wrong
            path, schema = path[:-1], steps[-2][1]
        problem = _value_problem(document, path, schema)
    return document.error(path, problem)


def _value_problem(document: Document, path: KeyPath, schema: Schema) -> str:
    if schema.get("pattern") and "type" not in schema:  # the name of a stream or of a group
        return f"found {show(path[-1])}{_as_a_name(str(path[-1]))}; allowed: {allowed(schema)}"
    value: Any = document.value
    for part in path:
        value = value[part]
    return _refusal(document, path, show(value), _allowed_here(path, schema, value))


def _as_a_name(text: str) -> str:
    """A hint at the name that it may become, with a space before it; empty where it may become none."""
    name = re.sub(r"[\s.]+", "_", text.lower())
    return f" (write `{name}`)" if re.fullmatch(NAME_PATTERN, name) else ""


def _allowed_here(path: KeyPath, schema: Schema, value: Any) -> str:
    words = allowed(schema)
    if path[-1] in ("clock", "pixels"):
        models = STREAM_MODELS.items()
        takers = [kind for kind, model in models if value in get_args(model.model_fields[path[-1]].annotation)]
        return f"{words} ({value} is for {' and '.join(takers)} streams)" if takers else words
    return words


def _parameter(document: Document, path: KeyPath, schema: Schema, details: dict[str, Any]) -> ConfigError:
    """A parameter of the URL is out of bounds."""
    url_path = (*path[:2], "url")
    context = details.get("ctx", {})
    field = str(path[3] if path[2] == "spec" and len(path) > 3 else path[2])
    name = {"width": "size", "height": "size", "device_size": "size", "every_s": "every"}.get(field, field)
    found = context.get("found", f"{name} {show(details['input'])}")
    remedy = context.get("allowed", f"{name}: {allowed(schema)}")
    return document.error(url_path, _refusal(document, url_path, found, remedy))
