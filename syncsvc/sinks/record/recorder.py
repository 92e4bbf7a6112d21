"""Records a service: every batch is on the disk before the next one is asked for."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from syncsvc.client.attached import READY_S
from syncsvc.client.connecting import Keys, keys_in
from syncsvc.client.inlets import Mode
from syncsvc.client.live import DEFAULT_LIVE
from syncsvc.client.sequence import Groups
from syncsvc.client.timeouts import Deadline
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, sleep_s
from syncsvc.errors import DiskFull, NotRecorded, SubscriberClosed, SubscriptionEnded, UsageError
from syncsvc.model import FrameBatch, Gap
from syncsvc.recording.opening import FORMATS, SUFFIXES, FormatName
from syncsvc.recording.segment import is_segment_name
from syncsvc.sinks.record.batch_feed import BatchFeed
from syncsvc.sinks.record.shelf import Shelf
from syncsvc.sinks.record.stream_coder import CODECS, CodecName
from syncsvc.sinks.record.tape import Fill, Tape, TapeTally, TapeTerms
from syncsvc.wire import GroupTerms

_PAUSE_S = 1.0
DEFAULT_SEGMENT_S = 600.0
"""Where only ``keep_s`` or ``max_bytes`` is given: what is taken away is whole segments."""


class Recorder:
    """Writes the batches of a service into a folder, one at a time, for one thread.

    ::

        with Recorder("tcp://127.0.0.1:5555", "tape", group="lobby") as recorder:
            recorder.run(seconds=60)

    Per stream a video file: the camera's own coded pictures, from the first key frame on, where the service hands them
    on (``pixels: encoded``, ``coded: true``, ``pixels: jpeg``), others coded here. Beside them the times of all frames,
    the sets, the headers of the batches with the gaps between them, and a configuration that ``syncsvc run`` plays;
    with ``format="mcap"`` all of it in one MCAP file, but the configuration.
    What is lost is counted: by the subscription as gaps, frames that are in no file by cause.

    A batch is *acknowledged* when it is on the disk, once a batch; a segment is *finished* when it is whole, and was
    renamed into its place. Where the disk is full, recording pauses, and the service keeps what comes meanwhile as far
    as its history reaches.

    Args:
        endpoint: the service's ``publish.live``.
        folder: made where it is not there. It is empty, or has numbered segments, which are gone on from.
        group: the group, or several; None: all that the service has.
        codec: ``copy`` keeps coded pictures where they come, and codes others as H.264; ``h264`` and ``ffv1`` code all
            pixels. ``ffv1`` gives back every bit.
        mode: of the subscription: ``lossless`` or ``live``.
        sets: only frames of sets, of every stream as many; those of ``pixels: encoded`` are coded anew.
        fill: what is done with a set that lacks a stream: ``skip`` it, or ``hold`` the stream's last picture.
        format: ``mp4`` writes folders with films; ``mcap`` MCAP files, whose pictures Foxglove and Rerun show.
        segment_s: begin a folder or a file of its own after so many seconds of windows; None: one for all.
        keep_s: take finished segments away that ended so many seconds ago.
        max_bytes: take the oldest away where all have more bytes than this.
        keys: of ``Subscriber``.

    Raises:
        UsageError: the folder is in use for something else, or words contradict each other.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_LIVE,
        folder: "str | os.PathLike[str]" = "recording",
        group: Groups = None,
        *,
        codec: CodecName = "copy",
        mode: Mode = "lossless",
        sets: bool = False,
        fill: Fill = "skip",
        format: FormatName = "mp4",
        segment_s: float | None = None,
        keep_s: float | None = None,
        max_bytes: int | None = None,
        keys: Keys = None,
    ) -> None:
        if codec not in CODECS:
            raise UsageError(f"codec {codec!r}: allowed are {', '.join(map(repr, CODECS))}")
        if format not in FORMATS:
            raise UsageError(f"format {format!r}: allowed are {', '.join(map(repr, FORMATS))}")
        if format == "mcap" and codec == "ffv1":
            raise UsageError("codec 'ffv1': an MCAP has H.264, H.265, VP9, AV1 and JPEG; record it with format 'mp4'")
        if mode not in ("lossless", "live"):
            raise UsageError(f"mode {mode!r}: a recorder takes 'lossless' or 'live'")
        if segment_s is None and (keep_s is not None or max_bytes is not None):
            segment_s = DEFAULT_SEGMENT_S
        self.folder = Path(folder).absolute()
        check_folder(self.folder, SUFFIXES[format] if segment_s is not None else None)
        keys_in(keys)  # what is wrong with them is said before anything is made
        segment_ns = None if segment_s is None else round(segment_s * NS_PER_S)
        self._kept = TapeTerms(codec, segment_ns, sets, fill, format)
        self._endpoint, self._group = endpoint, group
        self._feed = BatchFeed(endpoint, group, mode, wants_coded=codec == "copy" and not sets, keys=keys)
        self._shelf = Shelf(self.folder, keep_s, max_bytes)
        self._tape: Tape | None = None
        self._is_closed = False
        self.gaps: Sequence[Gap] = ()
        """What never came before the batch that was recorded last."""
        self.pauses = 0
        """How often the disk was full."""
        self.problem = ""
        """Why recording pauses; empty while it does not."""

    @property
    def tally(self) -> TapeTally:
        """What is recorded so far."""
        return self._tape.tally if self._tape is not None else TapeTally()

    @property
    def removed(self) -> int:
        """How many segments were taken away."""
        return self._shelf.removed

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until the service is there; errors as of ``Subscriber.wait_ready``."""
        self._feed.wait_ready(timeout_s)

    def record_next(self, timeout_s: float | None = None, pause: Callable[[], bool] | None = None) -> FrameBatch:
        """Take the next batch, and bring it to the disk.

        Args:
            timeout_s: the longest wait; None waits for ever.
            pause: called again and again while the disk is full, and waits a while; false gives the batch up.

        Raises:
            TimeoutError: none came in time.
            SubscriptionEnded: the service has ended.
            SubscriberClosed: ``close`` was called.
            DiskFull: it was given up; nothing of it is on the disk.
            NotRecorded: the folder cannot be written.
        """
        fed = self._feed.receive(timeout_s)
        self.gaps = fed.gaps
        if self._tape is None:
            self._tape = Tape(self.folder, self._terms(), self._kept, lambda path: self._shelf.look_again())
        self._tape.put(fed)
        self._commit(self._tape.commit, pause)
        self._shelf.tidy(SYSTEM_CLOCK.utc_ns(), self._tape.size_bytes)
        return fed.batch

    def _commit(self, commit: Callable[[], None], pause: Callable[[], bool] | None) -> None:
        """Write, and where there is no room, wait for it."""
        while True:
            try:
                commit()
            except DiskFull as error:
                self.pauses += not self.problem
                self.problem = str(error)
                if not (pause or _pause)():
                    raise
            else:
                self.problem = ""
                return

    def _terms(self) -> Mapping[str, GroupTerms]:
        """What the groups promise that are recorded."""
        terms = self._feed.terms
        if self._kept.of_sets and len(terms) > 1:
            raise UsageError(f"sets are of one group, and the service has {', '.join(terms)}: name one")
        return terms

    def run(self, seconds: float | None = None, count: int | None = None) -> TapeTally:
        """Record until so much time or so many batches are over, or the service has ended; then close."""
        deadline = Deadline(seconds)
        try:
            while count is None or self.tally.batches < count:
                left_ms = deadline.left_ms()
                self.record_next(None if left_ms is None else left_ms / 1000)
        except (TimeoutError, SubscriptionEnded, SubscriberClosed):
            pass
        self.close()
        return self.tally

    def close(self) -> None:
        """Leave the service, and finish the segment.

        Raises:
            NotRecorded: what was kept back cannot be written; all acknowledged batches are there.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._feed.close()
        if self._tape is not None:
            self._tape.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except NotRecorded:
            if error is None:
                raise


def _pause() -> bool:
    sleep_s(_PAUSE_S)
    return True


def check_folder(folder: Path, goes_on: str | None = None) -> None:
    """See that a recording may go there.

    Args:
        folder: absolute.
        goes_on: numbered segments of earlier recorders may lie there, whose names end so; None: none may.

    Raises:
        UsageError: it may not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = os.listdir(folder)
    except OSError as error:
        why = "is there, and no folder" if folder.exists() and not folder.is_dir() else error.strerror
        raise UsageError(f"{folder}: {why}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: cannot be written")
    strangers = sorted(name for name in names if goes_on is None or not is_segment_name(name, goes_on))
    if not strangers:
        return
    if goes_on is None and all(map(is_segment_name, names)):
        raise UsageError(f"{folder}: has segments of a recording: go on there with --segment, or name another folder")
    raise UsageError(f"{folder}: is not empty (it has {strangers[0]}): name a folder that is empty or not there")
