"""Observation logs of simulated cameras, as the service would have written them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from syncsvc.bench.simulated_cameras import MONO_NS, UTC_NS, SimulatedCamera, observe
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.doctor.diagnosis import Diagnosis, diagnose
from syncsvc.doctor.observed import ObservedRun, gather
from syncsvc.model import ClockClass
from syncsvc.observe.events import GroupRules
from syncsvc.observe.records import (
    AnyRecord,
    ClockRecord,
    ObsRecord,
    RunRecord,
    SessionRecord,
    StampRecord,
    StreamSettings,
)

SECONDS = 25.0
GROUP = "all"


def log_of(
    cameras: Sequence[SimulatedCamera],
    seconds: float = SECONDS,
    *,
    clocks: Mapping[str, ClockClass] | None = None,
    reference: str | None = None,
) -> list[AnyRecord]:
    """The log of a run; ``clocks`` says which class each stream's stamps have, ``rtcp`` where left out.

    Stamps are true, but for ``model`` and ``arrival``, which have the camera's latency in them.
    """
    names = tuple(camera.name for camera in cameras)
    settings = {name: StreamSettings("rtsp", "auto", None, 3 * NS_PER_S, 350 * NS_PER_MS, NS_PER_S) for name in names}
    group = GroupRules(names, NS_PER_S, 40 * NS_PER_MS, 500 * NS_PER_MS, reference)
    records: list[AnyRecord] = [
        RunRecord(v=1, run_id="0", epoch=1, utc_ns=UTC_NS, mono_ns=MONO_NS, streams=settings, groups={GROUP: group})
    ]
    for camera in cameras:
        clock: ClockClass = (clocks or {}).get(camera.name, "rtcp")
        records += _stream(camera, seconds, clock)
        records.append(
            ClockRecord(stream=camera.name, clock=clock, doubtful=False, reasons={}, mono_ns=MONO_NS + 3 * NS_PER_S)
        )
    return records


def _stream(camera: SimulatedCamera, seconds: float, clock: ClockClass) -> Iterator[AnyRecord]:
    session = -1
    for sighting in observe(camera, seconds):
        seen = sighting.seen
        if sighting.session != session:
            session = sighting.session
            yield SessionRecord(stream=camera.name, mono_ns=seen.arrival_mono_ns - NS_PER_MS)
        yield ObsRecord.of(camera.name, seen)
        late_ns = round(camera.latency_ms * NS_PER_MS) if clock in ("model", "arrival") else 0
        yield StampRecord(
            stream=camera.name,
            seq=seen.seq,
            time_ns=sighting.taken_ns + late_ns,
            uncertainty_ns=NS_PER_MS,
            clock=clock,
            arrival_ns=seen.arrival_mono_ns - MONO_NS + UTC_NS,
        )


def run_of(*cameras: SimulatedCamera, seconds: float = SECONDS, **more: object) -> ObservedRun:
    """The same, read."""
    return gather(log_of(cameras, seconds, **more))  # type: ignore[arg-type]


def diagnosis_of(*cameras: SimulatedCamera, seconds: float = SECONDS, **more: object) -> Diagnosis:
    """The same, judged."""
    return diagnose(run_of(*cameras, seconds=seconds, **more))


def camera(name: str = "cam", **keys: object) -> SimulatedCamera:
    """A camera with 30 ms of latency and 2 ms of jitter, but for these keys."""
    return replace(SimulatedCamera(name=name, latency_ms=30.0, jitter_ms=2.0), **keys)  # type: ignore[arg-type]
