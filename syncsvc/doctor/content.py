"""Compares what streams show: cameras that see the same motion see it at the same moment, whatever their clocks say.

A suggestion only: it is right to some milliseconds where the views overlap, and nothing is done with it by itself.

Source: cross-correlation of motion energy with a parabolic peak, as in the time-delay estimation of Knapp and Carter,
"The generalized correlation method for estimation of time delay", IEEE ASSP 24(4), 1976, without weighting.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syncsvc.clock import NS_PER_S
from syncsvc.doctor.observed import Ints

RATE_HZ = 200
MAX_LAG_S = 3.0
NEEDS_S = 60.0
RECORDING_NEEDS_S = 20.0
"""Of recordings that began nobody knows when: there is no more of them than there is."""
RECORDING_LAG_S = 30.0
LEAST_PEAK = 0.5
LEAST_RATIO = 1.8
MOST_APART_MS = 10.0
_TREND_S = 4.0
"""Slower changes say how busy the scene is, not when something moved."""
_GAP_INTERVALS = 1.5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Motion over time: ``energy`` at ``time_ns`` (UTC, rising); ``has_own_clock`` where that is the camera's word.

    ``is_untimed`` is said of a recording that began nobody knows when.
    """

    time_ns: Ints
    energy: Floats
    has_own_clock: bool
    is_untimed: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two streams' motion says: ``second`` shows the same ``lag_ms`` after ``first``, by their curves' times.

    ``halves_ms`` are the lags of the first and the second half of the time; ``why_not`` is empty where all of it is
    good enough to be suggested. ``disagreement_ms`` is the lag, where both times are the cameras' own.
    """

    first: str
    second: str
    seconds: float
    lag_ms: float | None = None
    peak: float = 0.0
    ratio: float = 0.0
    halves_ms: tuple[float, float] | None = None
    why_not: str = ""
    disagreement_ms: float | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the acceptance rule is met."""
        return not self.why_not


def motion_curve(time_ns: Ints, difference: Floats, has_own_clock: bool) -> Curve:
    """Make a curve of the differences between pictures.

    Args:
        time_ns: capture time of each picture, UTC, rising.
        difference: mean absolute difference of each picture to the one before; the first is of no meaning.
        has_own_clock: whether the times are the camera's word.
    """
    steps = np.diff(time_ns)
    if not len(steps):
        return Curve(time_ns[:0], difference[:0], has_own_clock)
    # What moved, moved between the two pictures; over a hole too much has moved to be compared.
    whole = (steps > 0) & (steps < _GAP_INTERVALS * np.median(steps))
    return Curve((time_ns[:-1] + steps // 2)[whole], difference[1:][whole], has_own_clock)


def compare(first: str, second: str, one: Curve, other: Curve) -> Comparison:
    """Compare two streams' curves."""
    begun, ended = _common_span(one, other)
    seconds = max(0.0, (ended - begun) / NS_PER_S)
    are_untimed = one.is_untimed and other.is_untimed
    needs_s = RECORDING_NEEDS_S if are_untimed else NEEDS_S
    if seconds < needs_s:
        return Comparison(first, second, seconds, why_not=f"needs {needs_s:.0f} s of both")
    most_s = min(RECORDING_LAG_S, seconds / 4) if are_untimed else MAX_LAG_S
    middle = (begun + ended) // 2
    spans = (begun, ended), (begun, middle), (middle, ended)
    whole, former, latter = (_correlate(one, other, span, most_s) for span in spans)
    if whole is None or former is None or latter is None:
        return Comparison(first, second, seconds, why_not="nothing moves")
    lag_ms, peak, ratio = whole
    why_not = _why_not(peak, ratio, abs(former[0] - latter[0]))
    disagreement_ms = lag_ms if one.has_own_clock and other.has_own_clock else None
    return Comparison(first, second, seconds, *whole, (former[0], latter[0]), why_not, disagreement_ms)


def _why_not(peak: float, ratio: float, apart_ms: float) -> str:
    if peak < LEAST_PEAK:
        return f"they have too little in common: correlation {peak:.2f}, {LEAST_PEAK:g} is needed"
    if ratio < LEAST_RATIO:
        return f"ambiguous: the peak is {ratio:.1f} times the next one, {LEAST_RATIO:g} is needed"
    if apart_ms > MOST_APART_MS:
        return f"the halves of the time differ by {apart_ms:.0f} ms, {MOST_APART_MS:g} is allowed"
    return ""


def _common_span(one: Curve, other: Curve) -> tuple[int, int]:
    if not len(one.time_ns) or not len(other.time_ns):
        return 0, 0
    return max(int(one.time_ns[0]), int(other.time_ns[0])), min(int(one.time_ns[-1]), int(other.time_ns[-1]))


def _correlate(one: Curve, other: Curve, span: tuple[int, int], most_s: float) -> tuple[float, float, float] | None:
    """Lag (ms) of ``other``, the correlation there, and how much that is above the next best; None if all is still."""
    count = int((span[1] - span[0]) * RATE_HZ // NS_PER_S)
    grid = np.arange(count) / RATE_HZ
    a, b = (_flattened(np.interp(grid, (curve.time_ns - span[0]) / NS_PER_S, curve.energy)) for curve in (one, other))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale <= 0:
        return None
    most = int(most_s * RATE_HZ)
    length = 1 << (2 * count - 1).bit_length()
    full = np.fft.irfft(np.conj(np.fft.rfft(a, length)) * np.fft.rfft(b, length), length) / scale
    lags = np.concatenate((full[-most:], full[: most + 1]))
    at = int(np.argmax(lags))
    peak = float(lags[at])
    if peak <= 0:
        return None
    return (at - most + _vertex(lags, at)) * 1000 / RATE_HZ, peak, peak / max(1e-9, _next_best(lags, at))


def _flattened(values: Floats) -> Floats:
    """Less its running mean: trends would make every lag look alike."""
    width = min(len(values), int(_TREND_S * RATE_HZ)) | 1
    sums = np.cumsum(np.pad(values, (width // 2 + 1, width // 2), mode="edge"))
    flat = values - (sums[width:] - sums[:-width])[: len(values)] / width
    return np.asarray(flat - flat.mean(), np.float64)


def _vertex(values: Floats, at: int) -> float:
    """Where a parabola through a maximum and its neighbours has its top, in samples from ``at``."""
    if not 0 < at < len(values) - 1:
        return 0.0
    left, middle, right = values[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return float((left - right) / (2 * bend)) if bend < 0 else 0.0


def _next_best(values: Floats, at: int) -> float:
    """The highest other maximum, beyond the slopes of the peak: they end where it has fallen to a half."""
    is_top = np.r_[False, (values[1:-1] >= values[:-2]) & (values[1:-1] > values[2:]), False]
    low = np.flatnonzero(values < values[at] / 2)
    left, right = np.searchsorted(low, at) - 1, np.searchsorted(low, at)
    is_top[low[left] if left >= 0 else 0 : low[right] + 1 if right < len(low) else len(values)] = False
    return float(np.max(values[is_top], initial=0.0))


def reduced(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture's brightness in about 80 x 45 blocks, their mean; ``luma`` is ``(height, width)`` uint8."""
    height, width = luma.shape
    down, across = max(1, height // 45), max(1, width // 80)
    thin_down, thin_across = max(1, down // 4), max(1, across // 4)  # of a big block, a part says as much
    cut = luma[: height // down * down, : width // across * across]
    blocks = cut.reshape(height // down, down, width // across, across)[:, ::thin_down, :, ::thin_across]
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means


def difference(picture: NDArray[np.float32], before: NDArray[np.float32]) -> float:
    """Mean absolute difference of two reduced pictures, what all of it has in common (light, exposure) taken out."""
    change = picture - before
    return float(np.abs(change - np.median(change)).mean())


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A constant latency; ``is_relative`` where it is against the quickest stream of those that show the same."""

    latency_ms: float
    is_relative: bool


def suggest(
    comparisons: Iterable[Comparison], mute: Collection[str], trusted: Collection[str]
) -> Mapping[str, Suggestion]:
    """What accepted comparisons say of the streams without a clock to tell their latency.

    Args:
        comparisons: of streams by times that lack nothing but the constant latency; those not accepted are left out.
        mute: streams whose times lack it.
        trusted: streams whose times are true.
    """
    edges = [one for one in sorted(comparisons, key=lambda one: -one.peak) if one.is_accepted]
    found = {name: Suggestion(late_ms, False) for name, late_ms in _spread(edges, dict.fromkeys(trusted, 0.0)).items()}
    for name in mute:
        if name in found:
            continue
        island = _spread(edges, {name: 0.0})
        if len(island) > 1:
            least = min(island.values())
            found |= {one: Suggestion(late_ms - least, True) for one, late_ms in island.items()}
    return {name: suggestion for name, suggestion in found.items() if name in mute}


def suggest_offsets(comparisons: Iterable[Comparison], untimed: Collection[str]) -> Mapping[str, float]:
    """By how much later than it says each recording began, in milliseconds: 0 for the one that began first.

    Args:
        comparisons: of streams; those not accepted are left out.
        untimed: recordings that began nobody knows when.
    """
    edges = [
        one
        for one in sorted(comparisons, key=lambda one: -one.peak)
        if one.is_accepted and one.first in untimed and one.second in untimed
    ]
    found: dict[str, float] = {}
    for name in untimed:
        if name not in found:
            island = _spread(edges, {name: 0.0})
            if len(island) > 1:
                latest = max(island.values())
                found |= {one: latest - late_ms for one, late_ms in island.items()}
    return found


def _spread(edges: Iterable[Comparison], known: Mapping[str, float]) -> dict[str, float]:
    """How late each stream is that can be reached from known ones, over the best comparisons first."""
    late = dict(known)
    while True:
        for edge in edges:
            if edge.lag_ms is not None and (edge.first in late) != (edge.second in late):
                if edge.first in late:
                    late[edge.second] = late[edge.first] + edge.lag_ms
                else:
                    late[edge.first] = late[edge.second] - edge.lag_ms
                break
        else:
            return late
