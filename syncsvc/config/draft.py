"""A first configuration from nothing but URLs: names, variables in place of passwords, and a reason beside each key."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from syncsvc.config.urls import kind_of, with_passwords

EXAMPLES: Final = (
    ("north", "synthetic:?fps=25&size=640x360"),
    ("south", "synthetic:?fps=30&size=640x360&jitter_ms=20&seed=2"),
)
_LONGEST_NAME: Final = 40
_SAYS_NOTHING: Final = re.compile(
    r"(stream|ch|channel|channels|live|video|main|sub|media|h26[45]|cam|profile|[0-9_-])*"
)
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9:/?&=%._~@${}+,;!*()-]*[^:]")


@dataclass(frozen=True, slots=True)
class DraftedStream:
    """A stream to be: its URL as the file has it, and the values of the variables in that."""

    name: str
    url: str
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


def drafted(urls: Sequence[str]) -> list[DraftedStream]:
    """Streams for some URLs, or examples without any.

    Raises:
        RefusedError: one has no scheme that we know.
    """
    if not urls:
        return [DraftedStream(name, url) for name, url in EXAMPLES]
    for url in urls:
        kind_of(url)
    return [_without_secrets(name, url) for name, url in zip(names_of(urls), urls, strict=True)]


def names_of(urls: Sequence[str]) -> list[str]:
    """A name for each: the last word of its path where that says something, else its host, and a number if need be.

    Words that say nothing, as ``ch1``, tell the streams of one host apart: they are names where no other host has them.
    """
    words, hosts = [_word(url) for url in urls], [_host(url) for url in urls]
    said = []
    for url, word, host in zip(urls, words, hosts, strict=True):
        last = _last(url)
        if word and words.count(word) == 1:
            said.append(word)
        elif hosts.count(host) == 1 or not last:
            said.append(host)
        else:
            is_name = last[0].isalpha() and [_last(other) for other in urls].count(last) == 1
            said.append(last if is_name else f"{host}-{last}"[:_LONGEST_NAME])
    names: list[str] = []
    for name in said:
        number = 2
        while (tried := name if number == 2 and said.count(name) == 1 else f"{name}-{number - 1}") in names:
            number += 1
        names.append(tried)
    return names


def _word(url: str) -> str:
    """The last word of a path; empty where it says nothing."""
    word = _last(url)
    return "" if _SAYS_NOTHING.fullmatch(word) else word


def _last(url: str) -> str:
    """The last word of a path, as names may be written."""
    rest = re.split("[?#]", url, maxsplit=1)[0].partition(":")[2]
    path = re.sub("^//[^/]*", "", rest)
    return "" if kind_of(url) == "synthetic" else _slug(Path(path).stem)


def _host(url: str) -> str:
    try:
        host = _slug(urlsplit(url).hostname or "")
    except ValueError:
        host = ""
    return host if host and not host[0].isdigit() else f"cam-{host}".strip("-")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-")[:_LONGEST_NAME]


def _without_secrets(name: str, url: str) -> DraftedStream:
    prefix = re.sub(r"[^A-Z0-9]", "_", name.upper())
    prefix = f"CAM_{prefix}" if prefix[0].isdigit() else prefix
    values: dict[str, str] = {}

    def variable(what: str, value: str) -> str:
        if not value or "${" in value:
            return value
        key = f"{prefix}_{what}"
        while values.get(key, value) != value:
            key += "_2"
        values[key] = value
        return f"${{{key}}}"

    if kind_of(url) in ("rtsp", "http"):
        scheme, between, rest = url.partition("://")
        authority = re.split("[/?#]", rest, maxsplit=1)[0]
        userinfo, at, _ = authority.rpartition("@")
        user, colon, password = userinfo.partition(":")
        if at:
            who = f"{user}:{variable('PASSWORD', unquote(password))}" if colon else variable("TOKEN", unquote(user))
            url = f"{scheme}{between}{who}@{rest[len(userinfo) + 1 :]}"
        url = with_passwords(url, lambda value: variable("SECRET", value))
    return DraftedStream(name, url, values)


def text_of(
    streams: Sequence[DraftedStream], seen: Mapping[str, str], slowest_fps: float, *, file: str, written: str
) -> str:
    """The file.

    Args:
        streams: what it is about.
        seen: what a probe said of each, in words without passwords.
        slowest_fps: the least rate that was seen; 0 where none was.
        file: what it will be called.
        written: when that is, in words.
    """
    return "\n".join(_lines(streams, seen, slowest_fps, file, written)) + "\n"


def _lines(
    streams: Sequence[DraftedStream], seen: Mapping[str, str], slowest_fps: float, file: str, written: str
) -> Iterator[str]:
    names = [stream.name for stream in streams]
    yield f"# Written by `syncsvc init`, {written}. What each key means: docs/configuration.md"
    yield f"# Then: syncsvc check --probe {file} && syncsvc run {file}"
    yield "# In another terminal: syncsvc status; syncsvc tail tcp://127.0.0.1:5555"
    if any(stream.values for stream in streams):
        variables = ", ".join(key for stream in streams for key in stream.values)
        yield f"# Passwords come from the environment: set {variables} before."
    if names == [name for name, _ in EXAMPLES] and streams[0].url == EXAMPLES[0][1]:
        yield "# No URL was given, so these streams are made up. `syncsvc discover` finds ONVIF cameras."
    yield "streams:"
    for stream in streams:
        yield f"  {stream.name}:"
        yield f"    url: {_scalar(stream.url)}"
        if stream.name in seen:
            yield f"    # when this was written: {seen[stream.name]}"
        yield from _keys_of(stream)
    skew_ms = _skew_ms(slowest_fps)
    yield "groups:"
    yield "  all:"
    yield f"    streams: [{', '.join(names)}]  # synchronized with each other"
    yield "    window_ms: 1000      # one batch a second, frames up to 1.3 s old; null: each set at once, some 70 ms"
    yield f"    max_skew_ms: {skew_ms:<7} # widest spread of a set: a frame of the slowest camera; see `syncsvc doctor`"
    yield "    max_latency_ms: 500  # a batch leaves at most this long after its window, whoever is missing"
    yield "publish:"
    yield '  live: tcp://127.0.0.1:5555     # batches: `syncsvc tail`, Subscriber("tcp://127.0.0.1:5555")'
    yield "  control: tcp://127.0.0.1:5556  # the service's state: `syncsvc status`"
    yield "http: {bind: 127.0.0.1:8080}     # /healthz, /metrics, /api/status; null switches it off"


def _keys_of(stream: DraftedStream) -> Iterator[str]:
    kind = kind_of(stream.url)
    if kind == "rtsp":
        yield "    clock: auto          # the camera's NTP where it proves plausible; `rtcp` vouches for it: ± 1 ms"
        yield "    latency_ms: 0        # known time from exposure to wire; `syncsvc doctor` proposes it"
    elif kind == "file":
        yield "    pace: realtime       # asap plays as fast as can be"
        yield "    loop: false          # true begins again at the end"


def _skew_ms(slowest_fps: float) -> int:
    """One frame of the slowest camera, 40 ms at least: below half a frame, free-running cameras find no partner."""
    return min(500, max(40, -(-1000 // max(1, int(slowest_fps))))) if slowest_fps else 40


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
