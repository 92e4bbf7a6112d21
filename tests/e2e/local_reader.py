"""A subscriber on the service's host, in a process of its own that tests kill and stop.

``python -m tests.e2e.local_reader ENDPOINT``: takes a batch, looks at its frames, holds them and says so on stdout; for
each line on stdin it says what the pixels that it holds show now: ``true`` counts pictures whose barcode is still that
of the frame, ``gone`` frames that were reclaimed.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from syncsvc import Frame, FrameReclaimedError, Subscriber
from syncsvc.barcode import read
from syncsvc.pictures import planes_i420


def is_true(frame: Frame, pixels: NDArray[np.uint8]) -> bool:
    """Whether the pixels carry the capture time of the frame."""
    found = read(planes_i420(pixels, frame.width, frame.height)[0])
    return found is not None and found.time_us == frame.time_ns // 1000


def is_gone(frame: Frame) -> bool:
    """Whether the frame's pixels cannot be had any more."""
    try:
        return not frame.pixels.size
    except FrameReclaimedError:
        return True


def say(words: str) -> None:
    """One line, now."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main(endpoint: str) -> None:
    """Hold one batch until the end of stdin."""
    with Subscriber(endpoint, mode="local") as batches:
        for batch in batches:
            if batch.complete:
                break
        frames = [frame for some in batch.frames.values() for frame in some]
        views = [frame.pixels for frame in frames]
        say(f"holds {len(views)}")
        for _ in sys.stdin:
            true = sum(is_true(frame, view) for frame, view in zip(frames, views, strict=True))
            say(f"true {true} gone {sum(is_gone(frame) for frame in frames)}")


if __name__ == "__main__":
    main(sys.argv[1])
