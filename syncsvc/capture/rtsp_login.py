"""How one says who one is over RTSP: what a camera asks for, brought to what libavformat can answer.

It takes the last Digest that it meets, has MD5 alone, and knows that name in capitals only; so cameras that offer
SHA-256 beside MD5, or write ``md5``, refused it. Source: RFC 2617, and ``libavformat/httpauth.c`` of FFmpeg 8.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9_-]*)(?=\s+[A-Za-z]|\s*(?:,|$))")
_FIELD = re.compile(r'([A-Za-z][\w-]*)\s*=\s*("(?:\\.|[^"\\])*"|[^\s,"]+)')
_ALGORITHMS = {"md5": "MD5", "md5-sess": "MD5-sess"}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in which a camera lets us in; the fields are unquoted, their names in small letters."""

    scheme: str
    """``basic``, ``digest`` or another one, in small letters."""
    fields: dict[str, str]

    @property
    def algorithm(self) -> str:
        """Of a Digest, as libavformat writes it; empty where it knows none such."""
        return _ALGORITHMS.get(self.fields.get("algorithm", "MD5").lower(), "")

    @property
    def is_stale(self) -> bool:
        """Whether only the nonce of the last answer was too old."""
        return self.fields.get("stale", "").lower() == "true"

    @property
    def _qop(self) -> str | None:
        """``auth`` or empty; None where the camera wants more."""
        offered = [word.strip().lower() for word in self.fields.get("qop", "").split(",")]
        return "auth" if "auth" in offered else "" if offered == [""] else None

    @property
    def can_be_answered(self) -> bool:
        """Whether libavformat has an answer to it."""
        return self.scheme == "basic" or (self.scheme == "digest" and bool(self.algorithm) and self._qop is not None)

    def __str__(self) -> str:
        """What it asks for, for people."""
        if self.scheme != "digest":
            return self.scheme.capitalize()
        extra = f", qop {self.fields['qop']}" if self._qop is None else ""
        return f"Digest with {self.fields.get('algorithm', 'MD5')}{extra}"

    @property
    def header(self) -> str:
        """The challenge as libavformat understands it."""
        if self.scheme == "basic":
            return f'Basic realm="{self.fields.get("realm", "")}"'
        told = {name: value for name, value in self.fields.items() if name in ("realm", "nonce", "opaque", "stale")}
        if "algorithm" in self.fields:
            told["algorithm"] = self.algorithm
        if self._qop:
            told["qop"] = self._qop
        return "Digest " + ", ".join(f'{name}="{value}"' for name, value in told.items())

    def answer(self, method: str, url: str, user: str, password: str) -> str:
        """The ``Authorization`` of a request."""
        if self.scheme == "basic":
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        fields, cnonce, count = self.fields, secrets.token_hex(8), "00000001"
        realm, nonce = fields.get("realm", ""), fields.get("nonce", "")
        secret = _md5(user, realm, password)
        if self.algorithm == "MD5-sess":
            secret = _md5(secret, nonce, cnonce)
        task = _md5(method, url)
        told = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
        if self._qop:
            told["response"] = _md5(secret, nonce, count, cnonce, self._qop, task)
        else:
            told["response"] = _md5(secret, nonce, task)
        words = [f'{name}="{value}"' for name, value in told.items()]
        words += [f'algorithm="{self.algorithm}"'] if "algorithm" in fields else []
        words += [f'opaque="{fields["opaque"]}"'] if "opaque" in fields else []
        words += [f"qop={self._qop}", f"nc={count}"] if self._qop else []
        words += [f'cnonce="{cnonce}"'] if self._qop or self.algorithm == "MD5-sess" else []
        return "Digest " + ", ".join(words)


def challenges_in(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge in the ``WWW-Authenticate`` headers of a reply; one header may have several."""
    return [challenge for header in headers for challenge in _split(header)]


def best_of(challenges: Iterable[Challenge]) -> Challenge | None:
    """The safest challenge that libavformat can answer: Digest before Basic, then as the camera names them."""
    able = [challenge for challenge in challenges if challenge.can_be_answered]
    return min(able, key=lambda challenge: challenge.scheme != "digest", default=None)


def _split(header: str) -> list[Challenge]:
    masked = _QUOTED.sub(lambda quoted: '"' + "x" * (len(quoted[0]) - 2) + '"', header)
    starts = [match for match in _SCHEME.finditer(masked) if not masked[match.end() :].lstrip().startswith("=")]
    ends = [*(match.start() for match in starts[1:]), len(header)]
    found = []
    for match, end in zip(starts, ends, strict=True):
        fields = {name.lower(): _unquoted(value) for name, value in _FIELD.findall(header[match.end() : end])}
        found.append(Challenge(header[match.start(1) : match.end(1)].lower(), fields))
    return found


def _unquoted(value: str) -> str:
    return value[1:-1] if value.startswith('"') else value  # a quote that is escaped goes back as it came


def _md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
