"""What a stream's URL decides: its kind, its file, its device, its parameters, read as strictly as the file itself."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from syncsvc.config.refusals import did_you_mean
from syncsvc.config.urls import MASK, RefusedError, kind_of
from syncsvc.config.yamltext import resolve_scalar

_HOST: Final = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+(%[\w.-]+)?")
_EVERY: Final = re.compile(r"[?&]every=([^&#]*)(&|(?=#)|$)")
_PERIOD: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})(ms|s|min)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0}


def describe(url: str, base_dir: Path) -> dict[str, Any]:
    """The fields of a stream's model that its URL decides, ``kind`` among them.

    Raises:
        RefusedError: the URL is not one; the message shows no user and no password.
    """
    kind = kind_of(url)
    if re.search(r"[\x00-\x1f\x7f]", url):
        raise RefusedError("a control character in a URL", "printable characters")
    rest = url.partition(":")[2]
    if kind in ("rtsp", "http"):
        _check_network_url(url)
        every = _EVERY.search(url) if kind == "http" else None
        return {"kind": kind, **({"every_s": _period(every[1])} if every else {})}
    if kind == "file":
        return {"kind": kind, **_file(rest, base_dir)}
    return {"kind": kind, **(_synthetic(rest) if kind == "synthetic" else _v4l2(rest))}


def without_ours(url: str) -> str:
    """What a camera is asked for: the URL without the parameter that is for us, ``every``."""
    return _EVERY.sub(lambda found: "?" if found[0][0] == "?" and found[0][-1] == "&" else found[2], url)


def _period(text: str) -> float:
    """Seconds of ``1s``, ``500ms``, ``2min`` or ``0.5``."""
    match = _PERIOD.fullmatch(unquote(text))
    if match is None:
        raise RefusedError(f"every={text}", "a number with ms, s or min behind it, for example every=1s")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def _check_network_url(url: str) -> None:
    scheme = url.partition(":")[0]
    allowed = f"{scheme}://HOST:PORT/PATH, USER:PASSWORD@ before HOST with / ? # @ written as %2F %3F %23 %40"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its message may quote a piece of the password
        raise RefusedError(f"'{scheme}://{MASK}' with a host or a port that is none", allowed) from None
    if not url[len(scheme) :].startswith("://") or not host or port == 0:
        raise RefusedError(f"'{scheme}:{MASK}' without a host", allowed)
    if "@" in parts.netloc and "@" in url.partition(parts.netloc)[2]:  # else a piece of the password is the host
        raise RefusedError(f"'{scheme}://{MASK}' with a second @ behind a slash, as of a password", allowed)
    if " " in url:
        raise RefusedError(f"'{scheme}://{MASK}' with white space", allowed)
    if not _HOST.fullmatch(host):  # others read another host out of it than we do
        raise RefusedError(f"'{scheme}://{MASK}' with a host that is none", allowed)


def _file(rest: str, base_dir: Path) -> dict[str, Any]:
    """``frames/%06d.jpg?fps=25`` as the fields of a FileStream; a ``?`` without a parameter behind it is the name's."""
    path, mark, query = rest.rpartition("?")
    if not mark or not re.match(r"\w+=", query):
        path, query = rest, ""
    return {"path": _file_path(path, base_dir), **_split_query(query, _SEQUENCE)}


def _file_path(rest: str, base_dir: Path) -> Path:
    path = rest
    if rest.startswith("//"):
        path = rest[2:]
        if not path.startswith("/"):
            raise RefusedError(f"'file:{rest}'", "file:RELATIVE/PATH, file:/ABSOLUTE/PATH or file:///ABSOLUTE/PATH")
    if not path.strip("/"):
        raise RefusedError(f"'file:{rest}' without a file's name", "file:RELATIVE/PATH or file:/ABSOLUTE/PATH")
    return base_dir.absolute() / path


def _number(text: str) -> float:
    value = resolve_scalar(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError("", "a number")
    return float(value)


def _whole(text: str) -> int:
    value = resolve_scalar(text)
    if type(value) is not int:
        raise RefusedError("", "a whole number")
    return value


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if match is None:
        raise RefusedError("", "WIDTHxHEIGHT in pixels, for example size=640x360")
    return int(match[1]), int(match[2])


def _stall(text: str) -> tuple[float, float]:
    every, colon, length = text.partition(":")
    if not colon:
        raise RefusedError("", "EVERY:FOR in seconds, for example stall=10:2")
    return _number(every), _number(length)


def _fourcc(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]{4}", text):
        raise RefusedError("", "four letters or digits, for example fourcc=MJPG")
    return text


_SYNTHETIC: Final[Mapping[str, Callable[[str], Any]]] = {
    "fps": _number,
    "size": _size,
    "offset_ms": _number,
    "drift_ppm": _number,
    "jitter_ms": _number,
    "latency_ms": _number,
    "phase_ms": _number,
    "drop": _number,
    "stall": _stall,
    "seed": _whole,
}
_SEQUENCE: Final[Mapping[str, Callable[[str], Any]]] = {"fps": _number}
_V4L2: Final[Mapping[str, Callable[[str], Any]]] = {"fps": _number, "size": _size, "fourcc": _fourcc}


def _synthetic(rest: str) -> dict[str, Any]:
    """``?fps=25&size=640x360...`` as the fields of a SyntheticStream."""
    if rest and not rest.startswith("?"):
        raise RefusedError("something between `synthetic:` and `?`", "synthetic:?fps=25&size=640x360")
    spec = _split_query(rest.removeprefix("?"), _SYNTHETIC)
    if "size" in spec:
        spec["width"], spec["height"] = spec.pop("size")
    return {"spec": spec}


def _v4l2(rest: str) -> dict[str, Any]:
    """``/dev/video0?fps=30`` as the fields of a V4l2Stream."""
    device, _, query = rest.removeprefix("//").partition("?")
    if not device.startswith("/") or device.endswith("/"):
        raise RefusedError("a device that is not an absolute path", "v4l2:/dev/video0?fps=30&size=1280x720&fourcc=MJPG")
    parameters = _split_query(query, _V4L2)
    if "size" in parameters:
        parameters["device_size"] = parameters.pop("size")
    return {"device": Path(device), **parameters}


def _split_query(text: str, readers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """The parameters ``a=1&b=2`` of a URL, each read by its reader."""
    values: dict[str, Any] = {}
    for pair in text.split("&") if text else ():
        name, equals, value = pair.partition("=")
        if name not in readers:
            raise RefusedError(f"the unknown parameter '{name}'{did_you_mean(name, readers)}", ", ".join(readers))
        if name in values:
            raise RefusedError(f"the parameter '{name}' twice", "each parameter once")
        if not equals or not value:
            raise RefusedError(f"the parameter '{name}' without a value", f"{name}=VALUE")
        try:
            values[name] = readers[name](value)
        except RefusedError as refused:
            raise RefusedError(f"{name}={value}", refused.allowed) from None
    return values
