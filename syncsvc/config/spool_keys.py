"""The keys of the spool: batches of coded pictures on disk, and which groups can have any there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Field, field_validator

from syncsvc.config.strictness import Model, refused, some


class SpoolKeys(Model):
    """Batches of coded pictures on disk, for subscribers that begin in the past."""

    folder: Annotated[Path, Field(strict=False)]
    """Where they lie, relative to this file; of one service alone."""
    groups: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """The groups that are kept; null: all of them. Their streams are encoded, jpeg, or have coded: true."""
    keep_hours: Annotated[float, Field(gt=0, le=87_600)] = 24
    """For how long a batch is kept."""
    max_gb: Annotated[float, Field(ge=0.001, le=1_000_000)] = 20
    """How much they take at most, in units of 10^9 bytes; the oldest go first."""
    sync: Literal["interval", "always"] = "interval"
    """When the disk is waited for: each second, or with each batch; killed processes cost nothing either way."""

    @field_validator("folder", mode="before")
    @classmethod
    def _is_named(cls, folder: object) -> object:
        if not isinstance(folder, str | Path) or not str(folder) or "\0" in str(folder):
            raise refused(f"{folder!r:.72}", "a folder's path")
        return folder


class Carrying(Protocol):
    """A stream, and what comes of it."""

    @property
    def carries(self) -> Literal["raw", "coded", "both"]:
        """See ``models.StreamKeys``."""
        ...


def refuse_unspoolable(
    spool: SpoolKeys | None, groups: Mapping[str, Sequence[str]], streams: Mapping[str, Carrying]
) -> None:
    """Look whether each group that is to be kept can be; ``groups`` gives the names of each one's streams.

    Raises:
        PydanticCustomError: there is none of that name, or a stream of it has no coded pictures.
    """
    if spool is None:
        return
    for index, name in enumerate(groups if spool.groups is None else spool.groups):
        path: tuple[str | int, ...] = ("spool", "groups") if spool.groups is None else ("spool", "groups", index)
        if name not in groups:
            raise refused(f"'{name}'", f"a name from `groups`: {some(tuple(groups))}", *path)
        raw = next((stream for stream in groups[name] if streams[stream].carries == "raw"), None)
        if raw is not None:
            found = f"'{name}'" if spool.groups is not None else f"null, which takes group '{name}' too"
            allowed = f"groups whose streams are encoded, jpeg, or have `coded: true`; '{raw}' of '{name}' is raw"
            raise refused(found, allowed, *path)
