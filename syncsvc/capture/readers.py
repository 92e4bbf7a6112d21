"""Who reads a container for a stream: a decoder, what hands its packets on as they are, or what does both."""

from dataclasses import replace

from syncsvc.capture.beside import CodedBeside
from syncsvc.capture.decode import Decoder, Demuxer, OpenInput, video_of
from syncsvc.capture.passthrough import JpegPassThrough, PassThrough
from syncsvc.capture.spec import CaptureSpec, FileSpec


def reader_of(spec: CaptureSpec, opened: OpenInput) -> Demuxer:
    """What reads a container for a stream: a decoder, or what hands its packets on as they are."""
    opened = replace(opened, max_pixels=spec.max_pixels)
    video = video_of(opened.container)
    is_jpeg = video is not None and video.codec_context is not None and video.codec_context.name == "mjpeg"
    if spec.pixels == "encoded":
        return PassThrough(opened, reads_stamps=not isinstance(spec, FileSpec))
    if spec.pixels == "jpeg" and spec.size is None and is_jpeg:
        return JpegPassThrough(opened)
    return CodedBeside(opened) if spec.coded and video is not None else Decoder(opened)
