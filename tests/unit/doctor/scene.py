"""A scene with things that move and rest, seen by several cameras: pictures whose true times are known."""

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 45, 80
_DOWN, _ACROSS = np.mgrid[0:HEIGHT, 0:WIDTH]


@dataclass(frozen=True, slots=True)
class View:
    """How a camera sees it: turned, scaled, moved; in parts of the picture's width."""

    turn_rad: float = 0.0
    scale: float = 1.0
    right: float = 0.0


class Scene:
    """Blobs on ways of their own, straight from point to point, with rests between."""

    def __init__(self, seed: int, seconds: float, blobs: int = 6) -> None:
        self._random = Random(seed)
        self._ways = [self._way(seconds) for _ in range(blobs)]

    def _way(self, seconds: float) -> tuple[list[float], list[float], list[float], float, float]:
        draw = self._random
        times, xs, ys = [0.0], [draw.random()], [draw.random()]
        while times[-1] < seconds:
            times.append(times[-1] + draw.uniform(0.3, 2.5))
            rests = draw.random() < 0.4
            xs.append(xs[-1] if rests else draw.random())
            ys.append(ys[-1] if rests else draw.random())
        return times, xs, ys, draw.uniform(0.04, 0.08), draw.uniform(60, 160)

    def seen(self, at_s: float, view: View) -> NDArray[np.float32]:
        """The picture at one moment, ``(45, 80)`` float32."""
        picture = np.full((HEIGHT, WIDTH), 40.0)
        cos, sin = np.cos(view.turn_rad) * view.scale, np.sin(view.turn_rad) * view.scale
        for times, xs, ys, radius, light in self._ways:
            x, y = np.interp(at_s, times, xs) - 0.5, np.interp(at_s, times, ys) - 0.5
            across = _ACROSS[0] / WIDTH - (cos * x - sin * y + 0.5 + view.right)
            down = _DOWN[:, 0] / HEIGHT - (sin * x + cos * y + 0.5)
            picture += light * np.outer(np.exp(-((down / radius) ** 2)), np.exp(-((across / radius) ** 2)))
        clipped: NDArray[np.float32] = np.clip(picture, 0, 255).astype(np.float32)
        return clipped
