"""Which pictures a recording's path stands for: all of a folder by their names, or those numbered as ``%06d`` says."""

import os
import re
from pathlib import Path
from typing import NamedTuple

_NUMBER = re.compile(r"%(0?[0-9]{0,2})d")
_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_DIGITS = re.compile(r"([0-9]+)")


class PictureFile(NamedTuple):
    """A picture's place in its sequence, from 0, and its file."""

    place: int
    path: Path


def is_sequence(path: Path) -> bool:
    """Whether it is that of pictures: a folder, or a name with a number's place where no file has that very name."""
    return os.path.isdir(path) or (_NUMBER.search(path.name) is not None and not os.path.exists(path))


def pictures_of(path: Path) -> list[PictureFile]:
    """The pictures that are there now, in their order; the first number that there is has place 0.

    Raises:
        OSError: the folder cannot be read.
    """
    is_folder = os.path.isdir(path)
    folder = path if is_folder else path.parent
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    if is_folder:
        found = sorted((name for name in names if Path(name).suffix.lower() in _SUFFIXES), key=_natural)
        return [PictureFile(place, folder / name) for place, name in enumerate(found)]
    before, width, after = _NUMBER.split(path.name, maxsplit=1)
    digits = f"[0-9]{{{int(width)},}}" if width.startswith("0") and int(width) else "[0-9]+"
    wanted = re.compile(f"{re.escape(before)}({digits}){re.escape(after)}")
    numbers = sorted((int(match[1]), match.string) for name in names if (match := wanted.fullmatch(name)))
    return [PictureFile(number - numbers[0][0], folder / name) for number, name in numbers]


def _natural(name: str) -> list[tuple[int, str]]:
    """``2.jpg`` before ``10.jpg``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name)]
