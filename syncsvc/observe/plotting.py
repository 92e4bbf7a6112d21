"""Pictures of what was measured, through matplotlib where it is installed; whoever draws asks for it first."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from syncsvc.errors import UsageError


def require_plotting(path: Path) -> None:
    """Look for what ``figure_in`` needs, before minutes are spent on measuring.

    Raises:
        UsageError: it is not installed, does not know such images, or ``path`` cannot be written.
    """
    try:
        import_module("matplotlib")
        bases: Any = import_module("matplotlib.backend_bases")
    except ImportError as error:
        raise UsageError(f"--plot needs matplotlib ({error}): install syncsvc[bench]") from error
    kinds = bases.FigureCanvasBase.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in kinds:
        raise UsageError(f"--plot {path}: found {path.suffix}; allowed: {', '.join(sorted(kinds))}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"--plot {path}: cannot be written")


@contextmanager
def figure_in(path: Path, size: tuple[float, float]) -> Iterator[Any]:
    """A figure of so many inches to draw on; written to ``path`` at the end.

    Raises:
        UsageError: matplotlib is not installed, or the file cannot be written.
    """
    require_plotting(path)
    backend: Any = import_module("matplotlib.figure")
    figure = backend.Figure(figsize=size, layout="constrained")
    yield figure
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--plot {path}: {error}") from error
