"""What every model of the configuration is: frozen, strict, closed; and how one of its rules refuses a value."""

from collections.abc import Callable

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from syncsvc.config.urls import RefusedError


def refused(found: str, allowed: str, *path: str | int) -> PydanticCustomError:
    """A rule was broken at ``path`` below the model; the loader makes one line of it."""
    return PydanticCustomError(
        "refused", "found {found}; allowed: {allowed}", {"found": found, "allowed": allowed, "path": list(path)}
    )


def read_by(read: Callable[[str], object]) -> AfterValidator:
    """For a text that this reads, and that is kept as it is."""

    def check(text: str) -> str:
        try:
            read(text)
        except RefusedError as problem:
            raise refused(problem.found, problem.allowed) from None
        return text

    return AfterValidator(check)


class Model(BaseModel):
    """Frozen, strict, closed; its errors never quote the input, which may hold a password.

    The sentence under a field is its description: ``schema.py`` reads it, as pydantic would at every start.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def some(names: tuple[str, ...]) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
