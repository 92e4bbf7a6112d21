"""What a virtual camera is like: one frozen value per camera, refused with one line that names the key."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Self

import yaml

from syncsvc.errors import UsageError

NAME_RULE: Final = re.compile(r"[a-z0-9_-]{1,64}")
SR_MODES: Final = ("ok", "zero", "uptime", "sendtime")
MAX_CAMERAS: Final = 256  # the barcode has eight bits for the camera's index

_ENCODER_KEYS: Final = frozenset({"fps", "width", "height", "gop", "crf", "bitrate"})
_FIXED_KEYS: Final = frozenset({"name", "seed", "rtp_base", "start_delay_s", "refuse_s", "phase_ms", "events"})


def _number(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"kind": float, "low": low, "high": high})


def _integer(default: int | None, low: int, high: int) -> Any:
    return field(default=default, metadata={"kind": int, "low": low, "high": high})


def _switch(default: bool) -> Any:
    return field(default=default, metadata={"kind": bool})


@dataclass(frozen=True, slots=True)
class Event:
    """From ``at_s`` seconds after the camera's start on, ``set`` replaces these keys of its spec."""

    at_s: float
    set: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera, its clocks and its faults; every key but the name has a default that means "no fault".

    The camera's own clock reads ``host + clock_offset_ms + drift_ppm * uptime``. RTCP carries that clock, and RTP
    timestamps count its seconds, from ``rtp_base`` on, without ever stepping. Percentages and ``noise`` are of random
    events drawn from ``seed``.

    Raises:
        UsageError: a value is not allowed; the message names camera and key.
    """

    name: str = "cam0"
    fps: float = _number(25.0, 0.1, 240)
    width: int = _integer(640, 160, 7680)
    height: int = _integer(360, 64, 4320)
    gop: int = _integer(25, 1, 10_000)
    crf: int = _integer(28, 0, 51)
    bitrate: int | None = _integer(None, 10_000, 1_000_000_000)
    """Bits per second, constant; None lets ``crf`` decide."""
    noise: float = _number(0.0, 0, 1)
    """Sensor noise, from none to heavy."""
    phase_ms: float = _number(0.0, 0, 60_000)
    """When the shutter opens, after the farm's common origin."""
    clock_offset_ms: float = _number(0.0, -1e13, 1e13)
    """Error of the camera's clock; changing it is a clock step, which RTP never shows."""
    drift_ppm: float = _number(0.0, -100_000, 100_000)
    """Rate error of the camera's clock, NTP and RTP alike."""
    rtp_drift_ppm: float = _number(0.0, -100_000, 100_000)
    """Further rate error of the sensor's crystal: NTP stays right, RTP and the shutter run free."""
    latency_ms: float = _number(0.0, 0, 60_000)
    """From capture to the first packet on the wire."""
    jitter_ms: float = _number(0.0, 0, 60_000)
    """Mean of an exponential delay on top; order is kept."""
    jitter_max_ms: float = _number(200.0, 0, 60_000)
    stall_every_s: float = _number(0.0, 0, 1e6)
    """Every so many seconds of uptime nothing is sent for ``stall_s``, then all of it at once."""
    stall_s: float = _number(0.0, 0, 1e6)
    frozen: bool = _switch(False)
    """The session lives, sender reports go on, but no picture is sent."""
    drop_pct: float = _number(0.0, 0, 100)
    """Pictures that the camera takes and never delivers: counter and RTP time go on."""
    loss_pct: float = _number(0.0, 0, 100)
    """RTP packets lost on the way, UDP only."""
    udp_only: bool = _switch(False)
    """It refuses clients that want RTP over TCP."""
    sr: bool = _switch(True)
    sr_interval_s: float = _number(5.0, 0.01, 3600)
    sr_first_s: float = _number(0.0, 0, 3600)
    """Wait for the first sender report after PLAY, where ``sr_immediate`` is off."""
    sr_immediate: bool = _switch(True)
    """The first sender report goes out right before the first picture."""
    sr_mode: str = "ok"
    """``ok``, ``zero`` (NTP is 0), ``uptime`` (NTP counts from the start), ``sendtime`` (the latency leaks in)."""
    rtp_base: int | None = _integer(None, 0, 2**32 - 1)
    """First RTP timestamp; None draws one."""
    start_delay_s: float = _number(0.0, 0, 1e6)
    """It takes no picture and answers 404 for so long after its start."""
    refuse_s: float = _number(0.0, 0, 1e6)
    """It takes pictures, but answers 404 for so long after its start."""
    close_after_s: float = _number(0.0, 0, 1e6)
    """It closes each connection so long after PLAY; 0 is never."""
    events: Sequence[Event] = ()
    seed: int = _integer(1, 0, 2**63)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME_RULE.fullmatch(self.name):
            raise UsageError(f"camera name {self.name!r} is not allowed: it must match [a-z0-9_-]{{1,64}}")
        for spec_field in dataclasses.fields(self):
            if spec_field.metadata:
                object.__setattr__(self, spec_field.name, self._checked(spec_field))
        if self.sr_mode not in SR_MODES:
            raise self._refused("sr_mode", self.sr_mode, f"one of {', '.join(SR_MODES)}")
        for key in ("width", "height"):
            if getattr(self, key) % 2:
                raise self._refused(key, getattr(self, key), "even (4:2:0 chroma)")
        if self.height * 8 < self.width:
            raise self._refused("height", self.height, "at least an eighth of width, which the barcode covers")
        if self.stall_every_s and self.stall_s > self.stall_every_s:
            raise self._refused("stall_s", self.stall_s, "at most stall_every_s")
        object.__setattr__(self, "events", self._checked_events())

    def _refused(self, key: str, found: object, allowed: str) -> UsageError:
        return UsageError(f"camera {self.name!r}: {key}: {found!r} is not allowed: it must be {allowed}")

    def _checked(self, spec_field: "dataclasses.Field[Any]") -> Any:
        key, rule, value = spec_field.name, spec_field.metadata, getattr(self, spec_field.name)
        if rule["kind"] is bool:
            if not isinstance(value, bool):
                raise self._refused(key, value, "true or false")
            return value
        if value is None and spec_field.default is None:
            return None
        allowed = f"{'a number' if rule['kind'] is float else 'a whole number'} from {rule['low']} to {rule['high']}"
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._refused(key, value, allowed)
        if not rule["low"] <= value <= rule["high"] or (rule["kind"] is int and value != int(value)):
            raise self._refused(key, value, allowed)
        return rule["kind"](value)

    def _checked_events(self) -> tuple[Event, ...]:
        if not isinstance(self.events, Sequence) or isinstance(self.events, str):
            raise self._refused("events", self.events, "a list of {at_s, set}")
        events = []
        for index, entry in enumerate(self.events):
            event = entry if isinstance(entry, Event) else self._read_event(f"events[{index}]", entry)
            if isinstance(event.at_s, bool) or not isinstance(event.at_s, int | float) or not event.at_s >= 0:
                raise self._refused(f"events[{index}].at_s", event.at_s, "a number of seconds, 0 or more")
            events.append((index, event))
        events.sort(key=lambda entry: entry[1].at_s)
        spec = self
        for index, event in events:
            spec = spec.changed(event.set, place=f"events[{index}].set.")
        return tuple(event for _, event in events)

    def _read_event(self, place: str, entry: object) -> Event:
        if not isinstance(entry, Mapping) or set(entry) != {"at_s", "set"} or not isinstance(entry["set"], Mapping):
            raise self._refused(place, entry, "a map {at_s: seconds, set: {key: value}}")
        return Event(entry["at_s"], dict(entry["set"]))

    def changed(self, keys: Mapping[str, Any], *, place: str = "") -> Self:
        """The same camera with other values, as an event or ``VirtualCameras.set`` gives them.

        Raises:
            UsageError: a key is unknown or fixed while the camera runs, or a value is not allowed.
        """
        for key in keys:
            if key in _FIXED_KEYS:
                raise UsageError(f"camera {self.name!r}: {place}{key}: cannot change while the camera runs")
        _refuse_unknown(self.name, keys, place)
        values: dict[str, Any] = {**keys, "events": ()} if place else dict(keys)
        try:
            return dataclasses.replace(self, **values)
        except UsageError as error:
            raise UsageError(str(error).replace(": ", f": {place}", 1)) from None

    def encodes_like(self, other: "CameraSpec") -> bool:
        """Whether one encoder serves both."""
        return all(getattr(self, key) == getattr(other, key) for key in _ENCODER_KEYS)


_KEYS: Final = tuple(spec_field.name for spec_field in dataclasses.fields(CameraSpec))


def _refuse_unknown(name: str, keys: Iterable[str], place: str = "") -> None:
    for key in keys:
        if key not in _KEYS:
            close = get_close_matches(key, _KEYS, n=1)
            hint = f" (did you mean {close[0]}?)" if close else f"; known are {', '.join(_KEYS)}"
            raise UsageError(f"camera {name!r}: {place}{key}: unknown key{hint}")


def parse_specs(cameras: object) -> list[CameraSpec]:
    """Specs from plain values: a list of maps (``name`` defaults to camN), or a map of name to map.

    Raises:
        UsageError: with the camera and the key that are wrong.
    """
    if isinstance(cameras, Mapping) and set(cameras) == {"cameras"}:
        cameras = cameras["cameras"]
    if isinstance(cameras, Mapping):
        specs = [_spec_of(f"camera {name!r}", name, values) for name, values in cameras.items()]
    elif isinstance(cameras, Sequence) and not isinstance(cameras, str):
        specs = [_spec_of(f"cameras[{index}]", f"cam{index}", values) for index, values in enumerate(cameras)]
    else:
        raise UsageError(f"cameras: {cameras!r} is not allowed: it must be a list of maps, or a map of name to map")
    check_specs(specs)
    return specs


def _spec_of(place: str, name: str, values: object) -> CameraSpec:
    if not isinstance(values, Mapping | None):
        raise UsageError(f"{place}: {values!r} is not allowed: it must be a map of keys to values")
    entry = {"name": name, **{str(key): value for key, value in (values or {}).items()}}
    _refuse_unknown(entry["name"], entry)
    return CameraSpec(**entry)


def check_specs(specs: Sequence[CameraSpec]) -> None:
    """Refuse an empty list, too many cameras, and a name used twice, with a UsageError."""
    if not 1 <= len(specs) <= MAX_CAMERAS:
        raise UsageError(f"cameras: {len(specs)} of them are not allowed: it must be 1 to {MAX_CAMERAS}")
    name, times = Counter(spec.name for spec in specs).most_common(1)[0]
    if times > 1:
        raise UsageError(f"camera {name!r}: name: used twice")


def load_specs(words: Sequence[str]) -> list[CameraSpec]:
    """Specs from a command line: one YAML or JSON file, a number of cameras, or words ``NAME[:KEY=VALUE,...]``.

    Raises:
        UsageError: the words or the file are not understood.
    """
    if len(words) == 1 and words[0].isdigit():
        return parse_specs([{}] * min(int(words[0]), MAX_CAMERAS + 1))
    if len(words) == 1 and words[0].endswith((".yaml", ".yml", ".json")):
        return _load_file(Path(words[0]))
    return parse_specs([_read_word(word) for word in words])


def _load_file(path: Path) -> list[CameraSpec]:
    try:
        cameras = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    try:
        return parse_specs(cameras)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _read_word(word: str) -> dict[str, Any]:
    name, _, rest = word.partition(":")
    entry: dict[str, Any] = {"name": name}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"camera {name!r}: {pair!r} is not understood: write KEY=VALUE")
        if key in entry:
            raise UsageError(f"camera {name!r}: {key}: given twice")
        entry[key] = yaml.safe_load(value) if re.fullmatch(r"[\w.+-]*", value) else value
    return entry
