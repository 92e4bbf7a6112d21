"""Which HTTP requests are let in, by their headers alone: our own names, no other site's page, who has the token."""

import hmac
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

OPEN_PATH: Final = "/healthz"
"""What needs no token: it tells nothing but that we are here."""


def own_names() -> frozenset[str]:
    """What this host is called, as far as it knows by itself."""
    name = socket.gethostname().lower()
    return frozenset({name, name.partition(".")[0], f"{name.partition('.')[0]}.local"} - {""})


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The answer to a request that is not let in."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """The rules of one server.

    A page of another site that had its name point here (DNS rebinding) would send that name as ``Host``; no page can
    do so with an address in numbers. Browsers say by ``Sec-Fetch-Site`` and ``Origin`` whose page asks.
    """

    token: str | None = field(default=None, repr=False)
    """What ``Authorization: Bearer`` must say; None: there is none, and loopback alone is served."""
    names: Collection[str] = ()
    """Names of ours beside those of loopback and addresses in numbers; of no use without a token."""

    def refusal(self, host: str, path: str, authorization: str) -> TurnedAway | None:
        """Why a request is not let in; None where it is."""
        if not self._is_ours(host):
            ours = "loopback names" if self.token is None else "this host's own names and addresses"
            return TurnedAway(421, f"this service answers on {ours}\n")
        if self.token is None or path == OPEN_PATH:
            return None
        scheme, _, said = authorization.strip().partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(said.strip().encode(), self.token.encode()):
            return None
        return TurnedAway(401, "say `Authorization: Bearer TOKEN`, with security.http_token of the configuration\n")

    def _is_ours(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        if name in ("localhost", ""):
            return bool(name)
        try:
            return ip_address(name).is_loopback or self.token is not None
        except ValueError:
            return self.token is not None and name in self.names
