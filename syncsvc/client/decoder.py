"""Pictures of encoded streams, decoded when somebody asks for one, from the last key frame on.

A coded frame refers to those before it. So each keeps the one before it alive, back to its key frame, and can be shown
for as long as it is held, in any order; a frame is decoded once where frames are asked for in the order of ``seq``.
What refers to a frame that was lost, or has not come yet, has no picture: it is never guessed.

A stream that refreshes itself bit by bit has key frames from which a decoder may begin, and pictures some frames later.
Until then a frame is decoded from an earlier one, where that is here, and keeps alive what it needs of that.
"""

from collections import OrderedDict
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from syncsvc import decoded, nal
from syncsvc.borrowed import Payload
from syncsvc.client.copies import KeptPicture, LostPicture
from syncsvc.errors import FrameUndecodable, SyncsvcError
from syncsvc.layout import MAX_PIXELS, Layout
from syncsvc.model import Frame, FrameBatch, LateFrame
from syncsvc.pictures import to_bgr

LATE_FRAMES = 64
"""A frame may come with a later batch than frames after it (a set's partner from across the window's edge)."""
MAX_CHAIN_FRAMES = 4096
MAX_CHAIN_BYTES = 128 << 20
"""What frames may refer back over; no camera sends a key frame as seldom as that."""
KEPT_PICTURES = 4
_DECODERS = {"av1": "libdav1d"}
"""Codecs whose namesake among libavcodec's decoders wants special hardware."""


class CodedFrame:
    """One coded frame: what ``Frame.decoder`` is."""

    __slots__ = ("__weakref__", "_owner", "chain_bytes", "chain_frames", "data", "is_key", "layout", "previous",
                 "problem", "recovers_in", "seq")  # fmt: skip

    def __init__(self, owner: "StreamDecoder", frame: Frame) -> None:
        self._owner, self.seq, self.is_key, self.layout = owner, frame.seq, frame.keyframe, frame.layout
        self.data = frame.payload if isinstance(frame.payload, bytes) else bytes(frame.pixels)
        """Of our own: a payload in a ring is only leased."""
        codec = frame.layout.codec.name if frame.layout.codec is not None else ""
        self.recovers_in = nal.recovery_frames(self.data, codec) if frame.keyframe else 0
        """How many frames later pictures are whole, where decoding begins with this one."""
        self.previous: CodedFrame | None = None
        self.problem = ""
        self.chain_frames, self.chain_bytes = 1, len(self.data)

    def follow(self, previous: "CodedFrame") -> bool:
        """Refer to the frame before; false where that would make the chain too long."""
        if self.is_key or previous.layout != self.layout:
            return True
        self.chain_frames = previous.chain_frames + 1
        self.chain_bytes = previous.chain_bytes + len(self.data)
        if self.chain_frames > MAX_CHAIN_FRAMES or self.chain_bytes > MAX_CHAIN_BYTES:
            self.problem = "its key frame is too long ago"
            self.chain_frames, self.chain_bytes = 1, len(self.data)
            return False
        self.previous = previous
        return True

    def to_bgr(self) -> NDArray[np.uint8]:
        """The picture, ``(height, width, 3)`` uint8, BGR.

        Raises:
            FrameUndecodable: it refers to a frame that is not here, or is damaged.
        """
        return to_bgr(*self._owner.planes(self))

    def kept(self) -> KeptPicture | LostPicture:
        """See ``PictureSource``: decoded now, or why it cannot be."""
        try:
            planes, layout = self._owner.planes(self)
        except FrameUndecodable as error:
            return LostPicture(error.stream, error.seq, error.why)
        except ImportError as error:
            return LostPicture(self._owner.stream, self.seq, str(error))
        return KeptPicture(planes.tobytes(), layout)


class RecoveringFrame:
    """A coded frame that is not whole yet by its own key frame: ``Frame.decoder``, and what keeps the others alive."""

    __slots__ = ("__weakref__", "_needed", "coded")

    def __init__(self, coded: CodedFrame, needed: tuple[CodedFrame, ...]) -> None:
        self.coded, self._needed = coded, needed

    @property
    def data(self) -> bytes:
        """The coded picture."""
        return self.coded.data

    def to_bgr(self) -> NDArray[np.uint8]:
        """See ``CodedFrame``."""
        return self.coded.to_bgr()

    def kept(self) -> KeptPicture | LostPicture:
        """See ``CodedFrame``."""
        return self.coded.kept()


class StreamDecoder:
    """One stream's frames since its last key frame, and the decoder behind them; for any number of threads."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self._lock = Lock()
        self._known: WeakValueDictionary[int, CodedFrame] = WeakValueDictionary()
        self._held: dict[int, CodedFrame] = {}
        self._newest = self._newest_key = -1
        self._keys: list[CodedFrame] = []
        """Key frames from which what comes now, or came lately, may have to be decoded."""
        self._context: Any = None
        self._layout: Layout | None = None
        self._at: CodedFrame | None = None
        self._pictures: OrderedDict[CodedFrame, Any] = OrderedDict()

    def learn(self, frame: Frame) -> CodedFrame | RecoveringFrame:
        """Take a frame in; in the order of ``seq``, or nearly."""
        with self._lock:
            coded = self._known.get(frame.seq)
            if coded is None:
                coded = self._known[frame.seq] = CodedFrame(self, frame)
                self._link(coded)
            needed = self._needed_beyond(coded) if any(key.recovers_in for key in self._keys) else ()
            return RecoveringFrame(coded, needed) if needed else coded

    def _needed_beyond(self, coded: CodedFrame) -> tuple[CodedFrame, ...]:
        """The last frame before each key frame that comes too late for this one."""
        needed: list[CodedFrame] = []
        at: CodedFrame | None = coded
        while at is not None:
            if at.is_key:
                at = self._before_key(at, coded)
                if at is not None:
                    needed.append(at)
            else:
                at = at.previous
        return tuple(needed)

    def _before_key(self, key: CodedFrame, coded: CodedFrame) -> CodedFrame | None:
        """Where decoding goes on backward from a key frame that comes too late; None where it need not, or cannot."""
        if coded.seq - key.seq >= key.recovers_in:
            return None
        before = self._known.get(key.seq - 1)
        return before if before is not None and before.layout == key.layout else None

    def _link(self, coded: CodedFrame) -> None:
        seq = coded.seq
        before, after = self._known.get(seq - 1), self._known.get(seq + 1)
        if before is not None and not coded.follow(before):
            self._held.clear()
        if after is not None and after.previous is None:
            after.follow(coded)
        self._held[seq] = coded
        self._newest = max(self._newest, seq)
        if coded.is_key:
            self._newest_key = max(self._newest_key, seq)
            self._keys.append(coded)
            whole = [key.seq for key in self._keys if key.seq + key.recovers_in <= self._newest_key]
            self._keys = [key for key in self._keys if key.seq >= max(whole, default=0)]
        oldest_key = min((key.seq for key in self._keys), default=-1)
        floor = max(min(oldest_key, self._newest - LATE_FRAMES), self._newest - MAX_CHAIN_FRAMES)
        while self._held and (first := next(iter(self._held))) < floor:
            del self._held[first]

    def picture(self, coded: CodedFrame) -> Any:
        """The picture as libav has it, an ``av.VideoFrame``; errors as ``CodedFrame.to_bgr``."""
        with self._lock:
            return self._pictures.get(coded) or self._decode(coded)

    def planes(self, coded: CodedFrame) -> tuple[NDArray[np.uint8], Layout]:
        """The picture as an i420 payload in memory of its own, and what that is; errors as ``CodedFrame.to_bgr``."""
        picture = self.picture(coded)
        layout = decoded.layout_of(picture, "i420", None)
        if (layout.width, layout.height) != (coded.layout.width, coded.layout.height):
            told = f"{coded.layout.width}x{coded.layout.height}"
            raise self._undecodable(coded, f"it is {layout.width}x{layout.height}, its stream says {told}")
        planes = np.empty(layout.size_bytes, np.uint8)
        decoded.write(picture, layout, planes)
        return planes, layout

    def _decode(self, coded: CodedFrame) -> Any:
        steps = self._steps(coded)
        if steps[-1].is_key and (self._at is None or self._before_key(steps[-1], coded) is not self._at):
            self._begin(coded)
        for step in reversed(steps):
            try:
                self._feed(step, is_wanted=step is coded)
            except _NoPicture:
                raise  # it is the decoder's way, and no damage to what follows
            except FrameUndecodable as error:
                self._at = None
                step.problem = error.why
                if step is coded:
                    raise
                raise self._undecodable(coded, f"it refers to frame {step.seq}: {error.why}") from error
        return self._pictures[coded]

    def _steps(self, coded: CodedFrame) -> list[CodedFrame]:
        """What to feed to the decoder, last first: back to where it stands, or to a key frame that is early enough."""
        steps: list[CodedFrame] = []
        at: CodedFrame = coded
        while at is not self._at or at is coded:
            if at.problem:
                why = at.problem if at is coded else f"it refers to frame {at.seq}: {at.problem}"
                raise self._undecodable(coded, why)
            steps.append(at)
            if at.is_key:
                before = self._before_key(at, coded)
                if before is None and coded.seq - at.seq < at.recovers_in:
                    raise self._undecodable(coded, f"its stream refreshes itself, and is whole {_later(coded, at)}")
                if before is None:
                    break
                at = before
                continue
            if at.previous is None:
                raise self._undecodable(coded, f"it refers to frame {at.seq - 1}, which was lost or has not come yet")
            at = at.previous
        return steps

    def _begin(self, coded: CodedFrame) -> None:
        """Make the decoder ready for the key frame from which this one is decoded."""
        layout = coded.layout
        if self._context is not None and self._layout == layout:
            self._context.flush_buffers()
            return
        av = load_av()
        assert layout.codec is not None, "an encoded stream has a codec"
        self._context = self._layout = None
        try:
            context = av.CodecContext.create(_DECODERS.get(layout.codec.name, layout.codec.name), "r")
            if context.type != "video":
                raise ValueError("no video")
            context.thread_type, context.thread_count = "NONE", 1
            context.options = {"max_pixels": str(MAX_PIXELS), "flags": "+low_delay"}
            decoded.tell(context, layout)
            if layout.codec.extradata:
                context.extradata = layout.codec.extradata
            context.open(strict=False)
        except (av.error.FFmpegError, ValueError) as error:
            raise self._undecodable(coded, f"PyAV has no decoder for {layout.codec.name!r:.40}") from error
        self._context, self._layout = context, layout

    def _feed(self, step: CodedFrame, *, is_wanted: bool) -> None:
        """Decode one frame more, and keep its picture."""
        av = load_av()
        packet = decoded.packet_of(av.Packet, step.data)
        packet.pts = packet.dts = step.seq
        try:
            pictures = self._context.decode(packet)
            self._at = step
            if is_wanted and not any(picture.pts == step.seq for picture in pictures):
                pictures += self._context.decode(None)  # a codec that answers late: it must begin anew after that
                self._at = None
        except (av.error.FFmpegError, ValueError) as error:
            raise self._undecodable(step, "it is damaged") from error
        if any(picture.is_corrupt for picture in pictures):
            raise self._undecodable(step, "it is damaged")
        mine = next((picture for picture in pictures if picture.pts == step.seq), None)
        if mine is not None:
            self._pictures[step] = mine
            while len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)
        elif is_wanted:
            raise _NoPicture(self.stream, step.seq, "its decoder makes no picture of it")

    def _undecodable(self, coded: CodedFrame, why: str) -> FrameUndecodable:
        return FrameUndecodable(self.stream, coded.seq, why)


class _NoPicture(FrameUndecodable):
    """A decoder took a frame and shows nothing for it."""


def _later(coded: CodedFrame, key: CodedFrame) -> str:
    left = key.seq + key.recovers_in - coded.seq
    return f"{left} frame{'s' if left > 1 else ''} later"


class Decoders:
    """The decoders of one subscriber's encoded streams."""

    def __init__(self) -> None:
        self._run_id = ""
        self._streams: dict[str, StreamDecoder] = {}

    def learn(self, batch: FrameBatch) -> None:
        """Give the frames of encoded streams their decoder; every batch must come by here, in its order."""
        for name, frames in batch.frames.items():
            coded = [frame for frame in frames if frame.layout.codec is not None]
            if coded:
                self._learn(batch.run_id, name, coded)

    def learn_late(self, late: LateFrame) -> None:
        """The same for one that came late: others may refer to it."""
        if late.frame.layout.codec is not None:
            self._learn(late.run_id, late.frame.stream, [late.frame])

    def _learn(self, run_id: str, name: str, frames: list[Frame]) -> None:
        if run_id != self._run_id:  # another daemon counts its frames anew
            self._run_id, self._streams = run_id, {}
        stream = self._streams.setdefault(name, StreamDecoder(name))
        for frame in frames:
            try:
                coded = stream.learn(frame)
            except SyncsvcError:  # its memory was taken back already: for the frames after it, it is lost
                continue
            force_setattr(frame, "decoder", coded)  # frozen for users; we are not done making it
            if not isinstance(frame.payload, Payload):  # the decoder's copy is enough
                force_setattr(frame, "payload", coded.data)


def load_av() -> Any:
    """PyAV, loaded only where an encoded frame is decoded."""
    try:
        import av
    except ImportError as error:
        raise ImportError(
            f"PyAV cannot be loaded ({error}); frames of encoded streams need it: pip install av"
        ) from error
    return av
