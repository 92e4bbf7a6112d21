"""Who is let in: the key `security`, and the rule that nothing leaves loopback without it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import model_validator

from syncsvc.config.serving import Http
from syncsvc.config.strictness import Model, read_by, refused
from syncsvc.config.urls import KEYS_NEEDED, MASK, RefusedError, host_and_port, is_loopback

_TOKEN_NEEDED: Final = "127.0.0.0/8, localhost or [::1]; any other address needs `security: {http_token: ...}`"


def _check_token(token: str) -> None:
    if not re.fullmatch("[!-~]{8,256}", token):
        allowed = "8 to 256 printable ASCII characters without spaces, best from the environment: ${HTTP_TOKEN}"
        raise RefusedError("a token of other characters or another length", allowed)


class Security(Model):
    """Who is let in: clients with keys over ZeroMQ, who knows the token over HTTP; and what captures may do."""

    keys: Path | None = None
    """Folder with server.key and server.key_secret, of `syncsvc keys new`; then every tcp socket speaks CURVE."""
    clients: Path | None = None
    """Folder with NAME.key of each client that is let in, read again on SIGHUP."""
    http_token: Annotated[str, read_by(_check_token)] | None = None
    """What requests say in `Authorization: Bearer ...`: 8 to 256 characters without spaces; /healthz needs none."""
    sandbox: Literal["auto", "required", "off"] = "auto"
    """How captures give up rights: as many as the kernel lets them, all of them or the start is refused, or none."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        for one, other in (("keys", "clients"), ("clients", "keys")):
            if getattr(self, one) is None and getattr(self, other) is not None:
                raise refused(f"`{other}` alone", f"both `keys` and `clients`, or neither: add `{one}: DIR`", other)
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, MASK if name == "http_token" and value is not None else value


def refuse_strangers(
    endpoints: dict[tuple[str, str], tuple[tuple[str, int] | str, str]], http: Http | None, security: Security | None
) -> None:
    """Hold every address to its rule: off loopback only with keys, HTTP only with a token.

    Args:
        endpoints: by key path, place and text of each ZeroMQ endpoint.
        http: None where it is switched off.
        security: None where there is none.

    Raises:
        PydanticCustomError: one breaks it.
    """
    if security is None or security.keys is None:
        for path, (place, text) in endpoints.items():
            if isinstance(place, tuple) and not is_loopback(place[0]):
                raise refused(f"'{text}', which is off loopback", KEYS_NEEDED, *path)
    if http is None or (security is not None and security.http_token is not None):
        return
    if not is_loopback(host_and_port(http.bind, "")[0]):
        raise refused(f"'{http.bind}', which is off loopback", _TOKEN_NEEDED, "http", "bind")
