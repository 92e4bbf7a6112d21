"""How long and how much on a command line: ``10m``, ``24h``, ``50G``."""

import re
from collections.abc import Mapping
from typing import Any

import click

_TIMES: Mapping[str, float] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZES: Mapping[str, float] = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_AMOUNT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)([a-z]?)")


class Amount(click.ParamType[float]):
    """A number above 0 with a unit's letter."""

    def __init__(self, name: str, units: Mapping[str, float], example: str) -> None:
        self.name, self._units, self._example = name, units, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number in the smallest unit.

        Raises:
            click.BadParameter: it is none.
        """
        match = _AMOUNT.fullmatch(str(value).strip().lower())
        number = float(match[1]) * self._units.get(match[2] or "", 1.0) if match else 0.0
        if match is None or number <= 0 or (match[2] and match[2] not in self._units):
            letters = ", ".join(self._units)
            self.fail(f"found {value!r}; allowed: a number above 0 and {letters}, as in {self._example}", param, ctx)
        return number


DURATION = Amount("DURATION", _TIMES, "10m")
SIZE = Amount("SIZE", _SIZES, "50G")
