"""Numbers of the command line that one can reckon with: ``nan`` passes every comparison that is to refuse it."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """``click.FloatRange`` without ``nan`` and ``inf``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number.

        Raises:
            click.BadParameter: it is none, or out of range.
        """
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number
