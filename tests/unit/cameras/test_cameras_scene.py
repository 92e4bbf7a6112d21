"""The encoder of a virtual camera: a client can begin at any key picture, and knows how before there is one."""

import pytest

from syncsvc.cameras.scene import Encoder
from syncsvc.cameras.settings import CameraSpec

SEQUENCE, PICTURE, KEY = 7, 8, 5


@pytest.mark.parametrize("bitrate", [None, 500_000])
def test_every_key_picture_brings_the_parameter_sets_that_the_session_is_described_by(bitrate: int | None) -> None:
    encoder = Encoder(CameraSpec("north", width=320, height=180, gop=4, bitrate=bitrate), 1)
    described = encoder.parameter_sets
    assert [unit[0] & 31 for unit in described] == [SEQUENCE, PICTURE]
    pictures = [encoder.take(number, number * 40_000, 0.0, force_key=number == 2) for number in range(8)]
    keys = [units for units in pictures if any(unit[0] & 31 == KEY for unit in units)]
    assert [pictures.index(units) for units in keys] == [0, 2, 6]
    for units in keys:
        assert tuple(unit for unit in units if unit[0] & 31 in (SEQUENCE, PICTURE)) == described
