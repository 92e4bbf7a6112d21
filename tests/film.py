"""A short recording to play: sixty pictures at 25 a second, a key frame every fifth, each of its own grey."""

from pathlib import Path

from syncsvc.clock import NS_PER_MS as MS
from syncsvc.layout import Codec, Layout
from syncsvc.recording.containers import Sample, container_of
from tests.recordings import HEIGHT, WIDTH, coded_pictures

COUNT = 60


def write_clip(path: Path) -> None:
    """Make it."""
    container = container_of(Layout("encoded", WIDTH, HEIGHT, codec=Codec("h264")))
    assert container is not None
    path.write_bytes(
        container.piece([Sample(40 * at * MS, key, data) for at, (data, key) in enumerate(coded_pictures(COUNT))])
    )
