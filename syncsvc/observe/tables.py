"""Tables and lines for eyes, on a terminal or in a pipe, for every command that shows what it found."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Texts in columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def show(parts: Iterable[Table | str], pipe_width: int) -> None:
    """Print them one after the other, as wide as the terminal, or as ``pipe_width`` where there is none."""
    from rich import box
    from rich import table as rich_table
    from rich.console import Console

    console = Console(markup=False, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else pipe_width)
    for part in parts:
        if isinstance(part, str):
            console.print(part)
            continue
        shown = rich_table.Table(title=part.title, title_justify="left", box=box.SIMPLE)
        for index, column in enumerate(part.columns):
            shown.add_column(column, justify="right" if index else "left", no_wrap=True)
        for row in part.rows:
            shown.add_row(*row)
        console.print(shown)
