"""The files that `security` and `http` name, and the configuration itself where it holds secrets: none for others."""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from syncsvc.certificates import read_guard, refuse_readable
from syncsvc.config.models import Config
from syncsvc.config.refusals import KeyPath
from syncsvc.config.urls import secrets_in
from syncsvc.config.yamltext import Document
from syncsvc.errors import ConfigError
from syncsvc.tls import server_context

_PATHS: Final[tuple[KeyPath, ...]] = (
    ("security", "keys"), ("security", "clients"), ("http", "tls", "cert"), ("http", "tls", "key"),
)  # fmt: skip


def with_paths(values: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
    """The file's values, paths of these keys made of text relative to its folder."""
    found = dict(values)
    for path in _PATHS:
        found = _with_path(found, path, base_dir)
    return found


def _with_path(values: dict[str, Any], path: KeyPath, base_dir: Path) -> dict[str, Any]:
    first, *rest = path
    value = values.get(str(first))
    if rest:
        return {**values, str(first): _with_path(value, tuple(rest), base_dir)} if isinstance(value, dict) else values
    return {**values, str(first): base_dir.absolute() / value} if isinstance(value, str) and value else values


def token_in(values: Mapping[str, Any]) -> str:
    """What stands where the token belongs, whatever it is; empty where nothing does."""
    security = values.get("security")
    token = security.get("http_token") if isinstance(security, dict) else None
    return "" if token is None else str(token)


def with_keys(config: Config, document: Document) -> Config:
    """The configuration with its keys, of files that are there, are what they should be, and not for others to read.

    Raises:
        ConfigError: they are not; it names key and file.
    """
    if (security := config.security) is not None:
        _refuse_open_configuration(document)
        if security.keys is not None and security.clients is not None:
            try:
                config = config.with_guard(read_guard(security.keys, security.clients))
            except ConfigError as error:
                is_client = Path(error.file).is_relative_to(security.clients) and Path(error.file).suffix == ".key"
                raise document.error(("security", "clients" if is_client else "keys"), str(error)) from None
    _refuse_open_certificate(config, document)
    return config


def _refuse_open_certificate(config: Config, document: Document) -> None:
    if config.http is not None and config.http.tls is not None:
        tls = config.http.tls
        try:
            refuse_readable(tls.key, stat.S_IRWXO)
        except ConfigError as error:
            raise document.error(("http", "tls", "key"), str(error)) from None
        try:
            server_context(tls.cert, tls.key)
        except ConfigError as error:
            raise document.error(("http", "tls", "cert"), str(error)) from None


def _refuse_open_configuration(document: Document) -> None:
    written = next(_written_secrets(document), None)
    if written is None:
        return
    try:
        refuse_readable(Path(document.source_name), stat.S_IRWXO)
    except ConfigError as error:
        remedy = f"{error.problem}, or take it from the environment: ${{NAME}}"
        raise document.error(written, f"a secret is written here, and of the file was {remedy}") from None


def _written_secrets(document: Document) -> Iterator[KeyPath]:
    """Keys whose secrets stand in the file itself, and do not come from the environment."""
    values = document.value
    if token_in(values) and ("security", "http_token") not in document.written:
        yield "security", "http_token"
    for name, stream in values["streams"].items():
        path = ("streams", name, "url")
        if any(not secret.startswith("${") for secret in secrets_in(document.written.get(path, stream["url"]))):
            yield path
