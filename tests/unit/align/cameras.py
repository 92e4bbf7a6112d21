"""Capture times of cameras that run freely: seeded, with drops, crystals that are off, and stamps that are."""

from random import Random

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.testing import T0

Times = dict[str, list[int]]
STAMP_ERROR_NS = NS_PER_MS // 10


def free_running(
    rates: list[float], seconds: int, seed: int, *, is_even: bool = False, jitter_ms: float = 0
) -> tuple[Times, Times]:
    """True times and stamps: 1 % drops, crystals off by up to 100 ppm, phases at random or even, stamps off 0.1 ms."""
    random, true, stamps = Random(seed), Times(), Times()
    for place, rate in enumerate(rates):
        period = NS_PER_S / rate * (1 + random.uniform(-100, 100) * 1e-6)
        phase = (place / len(rates) if is_even else random.random()) * period
        taken = (phase + n * period + random.gauss(0, jitter_ms) * NS_PER_MS for n in range(int(seconds * rate)))
        name = f"s{place:02}"
        true[name] = sorted({T0 + max(0, round(time)) for time in taken if random.random() >= 0.01})
        stamps[name] = sorted({max(T0, t + random.randint(-STAMP_ERROR_NS, STAMP_ERROR_NS)) for t in true[name]})
    return true, stamps
