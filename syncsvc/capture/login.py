"""How one says who one is where libraries cannot: over RTSP in what libavformat can answer, over HTTP instead of curl.

libavformat takes the last Digest that it meets, has MD5 alone, and knows that name in capitals only; so cameras that
offer SHA-256 beside MD5, or write ``md5``, refused it. curl takes the first Digest, and gives up where it does not know
it. Source: RFC 2617, RFC 7616; ``libavformat/httpauth.c`` of FFmpeg 8, ``lib/http.c`` of curl 8.
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
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_OF_LIBAV = ("MD5", "MD5-sess")
_SESSION = "-sess"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in which a camera lets us in; the fields are unquoted, their names in small letters."""

    scheme: str
    """``basic``, ``digest`` or another one, in small letters."""
    fields: dict[str, str]

    @property
    def algorithm(self) -> str:
        """Of a Digest, as RFC 7616 writes it; empty where there is none such."""
        name, session, rest = self.fields.get("algorithm", "MD5").lower().partition(_SESSION)
        is_known = name.upper() in _HASHES and not rest
        return name.upper() + session if is_known else ""

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
        return self.scheme == "basic" or (self.is_ours and self.algorithm in _OF_LIBAV)

    @property
    def is_ours(self) -> bool:
        """Whether it is a Digest that ``answer`` answers."""
        return self.scheme == "digest" and bool(self.algorithm) and self._qop is not None

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

    def answer(self, method: str, url: str, user: str, password: str, nth: int = 1) -> str:
        """The ``Authorization`` of a request, the ``nth`` with this nonce."""
        if self.scheme == "basic":
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        fields, cnonce, count = self.fields, secrets.token_hex(8), f"{nth:08x}"
        realm, nonce = fields.get("realm", ""), fields.get("nonce", "")
        is_session, hashed = self.algorithm.endswith(_SESSION), self._hashed
        secret = hashed(user, realm, password)
        if is_session:
            secret = hashed(secret, nonce, cnonce)
        task = hashed(method, url)
        name = user.replace("\\", "\\\\").replace('"', '\\"')
        told = {"username": name, "realm": realm, "nonce": nonce, "uri": url}
        if self._qop:
            told["response"] = hashed(secret, nonce, count, cnonce, self._qop, task)
        else:
            told["response"] = hashed(secret, nonce, task)
        words = [f'{name}="{value}"' for name, value in told.items()]
        words += [f'algorithm="{self.algorithm}"'] if "algorithm" in fields else []
        words += [f'opaque="{fields["opaque"]}"'] if "opaque" in fields else []
        words += [f"qop={self._qop}", f"nc={count}"] if self._qop else []
        words += [f'cnonce="{cnonce}"'] if self._qop or is_session else []
        return "Digest " + ", ".join(words)

    def _hashed(self, *parts: str) -> str:
        name = _HASHES[self.algorithm.removesuffix(_SESSION)]
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()


def challenges_in(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge in the ``WWW-Authenticate`` headers of a reply; one header may have several."""
    return [challenge for header in headers for challenge in _split(header)]


def best_of(challenges: Iterable[Challenge]) -> Challenge | None:
    """The safest challenge that libavformat can answer: Digest before Basic, then as the camera names them."""
    able = [challenge for challenge in challenges if challenge.can_be_answered]
    return min(able, key=lambda challenge: challenge.scheme != "digest", default=None)


def left_by_curl(challenges: Iterable[Challenge]) -> Challenge | None:
    """What curl could not answer and we can: a Digest behind one that nobody knows."""
    digests = [challenge for challenge in challenges if challenge.scheme == "digest"]
    if not digests or (digests[0].is_ours and digests[0].algorithm.removesuffix(_SESSION) != "SHA-512-256"):
        return None
    return next((challenge for challenge in digests if challenge.is_ours), None)


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
