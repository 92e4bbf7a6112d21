"""A service as it tells of itself, with something of everything."""

from syncsvc.model import Counts, StreamState
from syncsvc.observe.histogram import Histogram
from syncsvc.observe.status import (
    GroupStatus,
    LocalStatus,
    LosslessStatus,
    PromisesStatus,
    ReceiverProcess,
    ServiceStatus,
    StreamStatus,
)

STREAM = StreamStatus(
    state=StreamState.LIVE,
    clock="rtcp",
    clock_problems={"model": "no pts"},
    drift_ppm=1.5,
    uncertainty_ms=2.0,
    fps=25.0,
    captured=9,
    dropped={"ring_full": 1},
    last_frame_age_ms=12.0,
    format="i420",
    width=640,
    height=360,
    ring_slots=50,
    kind="rtsp",
    pid=11,
    restarts=2,
    problem="",
    declared_fps=25.0,
    position="waiting",
    position_age_ms=4,
)
GROUP = GroupStatus(
    streams=("a",),
    batches=3,
    complete_batches=2,
    sets=7,
    full_sets=6,
    last_window_end_ns=10**18,
    last_batch_age_ms=40.0,
    window_ms=1000.0,
    max_skew_ms=40.0,
    max_latency_ms=500.0,
    spread_p50_ms=5.0,
    spread_max_ms=8.0,
    counts={"a": Counts(captured=10, delivered=7, late=2, dropped={"ring_full": 1})},
    promises=PromisesStatus(1, 1593.0, 0, Histogram({"0.0": 2, "+Inf": 3}, 1.593)),
    spread_sum_ms=35.0,
    latency_s=Histogram({"0.005": 1, "+Inf": 3}, 0.02),
    offsets_ms={"a": -12.0},
)
SERVICE = ServiceStatus(
    run_id="r",
    pid=10,
    is_ready=True,
    live="tcp://127.0.0.1:5555",
    control="tcp://127.0.0.1:5556",
    epoch=1,
    subscriptions=1,
    local=LocalStatus(1, 2, 3, 4, 5),
    receiver=ReceiverProcess(12),
    streams={"a": STREAM},
    groups={"g": GROUP},
    lossless=LosslessStatus(1, 2, 3, 4096, 5, 6),
)
