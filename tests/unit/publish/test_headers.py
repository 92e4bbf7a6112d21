"""What a header says of a stream that has no frame in its batch."""

from syncsvc import wire
from syncsvc.model import FrameBatch
from syncsvc.publish.headers import Headers
from syncsvc.testing import T0, TINY, frame
from tests.batches import batch


def one(seq: int, *present: str) -> FrameBatch:
    frames = {
        name: [frame(name, seq, T0 + seq, clock="rtcp")] if name in present else [] for name in ("north", "south")
    }
    return batch(seq, frames=frames, group="lobby")


def test_a_stream_without_a_frame_looks_as_it_did_last_also_when_nobody_was_there_to_read() -> None:
    headers = Headers("run-7")
    headers.learn(one(0, "north", "south"))
    silent = one(2, "north")
    headers.learn(silent)
    header = wire.decode_header(headers.encode(silent, emitted_ns=T0 + 5))
    south = header["streams"]["south"]
    assert (south["format"], south["width"], south["height"], south["clock"]) == (
        TINY.format, TINY.width, TINY.height, "rtcp",
    )  # fmt: skip
    assert (header["run_id"], header["emitted_ns"]) == ("run-7", T0 + 5)
