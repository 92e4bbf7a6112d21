"""Parts of a picture: every pixel is one part's own, whatever the sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.errors import UsageError
from syncsvc.pool import cuts

SIDES = st.integers(1, 60)


@given(SIDES, SIDES, SIDES, st.integers(0, 9), st.integers(1, 9))
def test_every_pixel_is_one_parts_own_and_each_sees_as_much_more_as_it_should(
    height: int, width: int, side: int, overlap: int, number: int
) -> None:
    picture = np.arange(height * width).reshape(height, width)
    for parts in (cuts.tiles((height, width), (side, side), overlap), cuts.bands(height, min(number, height), overlap)):
        times = np.zeros_like(picture)
        for part in parts:
            times[part.of("own")] += 1
            assert (picture[part.of("seen")][part.of("inner")] == picture[part.of("own")]).all()
            assert part.rows.first_seen == max(0, part.rows.first - overlap)
            assert part.rows.end_seen == min(height, part.rows.end + overlap)
        assert (times == 1).all()


def test_parts_without_pixels_are_refused() -> None:
    with pytest.raises(UsageError):
        cuts.bands(10, 0, 0)
    with pytest.raises(UsageError):
        cuts.tiles((10, 10), (0, 5), 0)
    with pytest.raises(UsageError):
        cuts.bands(10, 2, -1)
