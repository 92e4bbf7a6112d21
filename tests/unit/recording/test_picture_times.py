"""Times in coded pictures: read by others, and taken out again to the byte."""

import av
import pytest

from syncsvc import nal
from syncsvc.capture import stamps
from syncsvc.decoded import packet_of
from syncsvc.recording import picture_times
from syncsvc.recording.picture_times import our_time, with_time, without_time
from tests.unit.test_nal import ENCODERS, coded


@pytest.mark.parametrize("codec", ENCODERS)
def test_a_time_that_is_put_in_is_read_by_others_and_taken_out_again_to_the_byte(codec: str) -> None:
    bare, time_ns = coded(codec, 64, 64), 1_700_000_000_123_456_789
    stamped = with_time(bare, codec, time_ns)
    assert stamps.first_of(nal.user_data(stamped, codec)) == (time_ns // 1000 * 1000, 1000)
    assert without_time(stamped, codec) == bare == without_time(bare, codec)
    again = with_time(stamped, codec, time_ns + 1_000_000)
    assert without_time(again, codec) == bare
    assert our_time(again, codec) == time_ns + 1_000_000
    assert our_time(bare, codec) is None
    assert len(again) == len(stamped)
    assert nal.parameter_sets(stamped, codec) == nal.parameter_sets(bare, codec)
    decoder = av.CodecContext.create(codec, "r")
    assert [(one.width, one.height) for one in [*decoder.decode(packet_of(av.Packet, stamped)), *decoder.decode()]] == [
        (64, 64)
    ]


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("time_ns", [0, 1, 255 << 48, 2**62 - 1, 0x0001_0000_0200_0003])
def test_a_time_never_looks_like_a_start_code(codec: str, time_ns: int) -> None:
    bare = coded(codec, 64, 64)
    assert without_time(with_time(bare, codec, time_ns), codec) == bare
    assert without_time(b"no picture", codec) == b"no picture" == with_time(b"no picture", codec, time_ns)


@pytest.mark.parametrize("codec", ENCODERS)
def test_the_times_of_others_are_left_alone(codec: str) -> None:
    """A camera's own precision time stamp comes first, and stays the one that is read."""
    bare = coded(codec, 64, 64)
    own = with_time(bare, codec, 1_600_000_000_000_000_000).replace(
        picture_times._OUR_UUID,  # reason: what makes it ours
        b"somebody else's!",
    )
    stamped = with_time(own, codec, 1_700_000_000_000_000_000)
    assert stamps.first_of(nal.user_data(stamped, codec)) == (1_600_000_000_000_000_000, 1000)
    assert without_time(stamped, codec) == own
