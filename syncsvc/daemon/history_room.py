"""How far back the history of mode ``lossless`` will reach, reckoned before anything starts."""

from collections.abc import Mapping

from syncsvc.config.models import Config
from syncsvc.daemon.ring_memory import Demand, mib

_MIB = 2**20


def history_lines(config: Config, some: Mapping[str, Demand]) -> list[str]:
    """One line per group: what it keeps, and how many seconds of that fit where it is alone; ``some`` is by stream."""
    if not config.publish.history:
        return ["history  off: mode lossless is refused"]
    lines = []
    for name, group in config.groups.items():
        streams = [some[stream] for stream in group.streams]
        bytes_per_s = sum(one.fps * one.payload_bytes for one in streams)
        window_s = 1 / max(one.fps for one in streams) if group.window_ms is None else group.window_ms / 1000
        wanted_s, room_s = config.publish.history * window_s, config.publish.history_mb * _MIB / bytes_per_s
        batch_bytes = round(bytes_per_s * window_s)
        number = int(room_s / window_s)
        fits = "they fit" if room_s >= wanted_s else f"{room_s:.1f} s fit ({number} batches)"
        if not number:
            fits = "raise history_mb, or take a shorter window_ms, a smaller size or coded pictures: not one fits"
        what = f"{config.publish.history} batches, {wanted_s:.4g} s, of {mib(batch_bytes)} each"
        assumed = ", assuming 1080p at 25/s where that is not known" if any(one.is_assumed for one in streams) else ""
        lines.append(f"history  for mode lossless, {name}: {what}{assumed}: {fits} in {config.publish.history_mb} MiB")
    return lines
