"""Whether the cameras' own clocks bear each other out: what one camera cannot prove alone, several make likely.

A clock that is wrong by some milliseconds moves its camera's capture times against the arrival of its packets by as
much. Cameras that show the same distance, steadily, are either right or wrong together, and for sets both will do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncsvc.doctor.diagnosis import StreamDiagnosis

MOST_APART_MS = 50.0
"""Between the least and the greatest distance to arrival: what encoders and ways of usual cameras differ by."""
MOST_SCATTER_MS = 5.0
LEAST_REPORTS = 3
UNVOUCHED_MS = 20.0
"""A ± of this and more is what one way leaves open; ``clock: rtcp`` makes it one millisecond."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """All cameras, and what they have in common: their clocks' times lie so long before their packets come.

    ``scatter_ms`` is the worst camera's unsteadiness, ``reports`` the number of sender reports of the one with fewest.
    """

    cameras: tuple[str, ...]
    least_ms: float
    most_ms: float
    scatter_ms: float
    reports: int

    def __str__(self) -> str:
        """The evidence in one line."""
        return (
            f"{len(self.cameras)} cameras agree: packets come {self.least_ms:.1f} to {self.most_ms:.1f} ms after their "
            f"clocks' times, steady to {self.scatter_ms:.1f} ms over {self.reports} reports and more"
        )


def agreement_of(streams: "Mapping[str, StreamDiagnosis]") -> Agreement | None:
    """Whether all RTSP cameras of a run bear each other out; None where one does not, or there is only one."""
    cameras = {name: one for name, one in streams.items() if one.kind == "rtsp"}
    some = [one.ntp for one in cameras.values() if one.ntp.verdict == "believable" and not one.is_suspect]
    distances = [ntp.latency_ms for ntp in some if ntp.latency_ms is not None]
    scatters = [ntp.scatter_ms for ntp in some if ntp.scatter_ms is not None]
    if not 1 < len(distances) == len(scatters) == len(cameras):
        return None
    if max(distances) - min(distances) > MOST_APART_MS or max(scatters) > MOST_SCATTER_MS:
        return None
    if min(ntp.reports for ntp in some) < LEAST_REPORTS or any(_is_contradicted(one) for one in cameras.values()):
        return None
    return Agreement(tuple(cameras), min(distances), max(distances), max(scatters), min(ntp.reports for ntp in some))


def _is_contradicted(stream: "StreamDiagnosis") -> bool:
    """Whether what it shows contradicts its clock, or that of another."""
    return any(finding.code == "content" for finding in stream.findings)
