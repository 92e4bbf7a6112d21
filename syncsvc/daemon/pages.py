"""The daemon's pages, and which entry of a group's belongs to which stream: they are given once and never change."""

from collections.abc import Iterable

from syncsvc.errors import ConfigError
from syncsvc.transport.page import GroupPage, StreamPage


class KeptPages:
    """One page per stream and one per group, kept for good: numbers go on when a stream leaves and returns."""

    def __init__(self) -> None:
        self._streams: dict[str, StreamPage] = {}
        self._pages: dict[str, GroupPage] = {}
        self._entries: dict[str, dict[str, int]] = {}

    def make(self, streams: Iterable[str], groups: Iterable[str]) -> None:
        """Make those that are not there yet.

        Raises:
            MemoryShortage: the machine lacks the memory, or this process can open no more descriptors.
        """
        for name in streams:
            self.of_stream(name)
        for name in groups:
            self.fd(name)

    def of_stream(self, name: str) -> StreamPage:
        """The stream's page, made on first use."""
        if name not in self._streams:
            self._streams[name] = StreamPage.create(name)
        return self._streams[name]

    def fd(self, group: str) -> int:
        """Descriptor of the group's page, made on first use."""
        if group not in self._pages:
            self._pages[group] = GroupPage.create(group)
        return self._pages[group].fd

    def entries(self, group: str, streams: Iterable[str]) -> dict[str, int]:
        """The entry of each stream.

        Raises:
            ConfigError: more streams than a page has entries, over all reloads.
        """
        known = dict(self._entries.get(group, {}))
        for name in streams:
            known.setdefault(name, len(known))
        if len(known) > GroupPage.CAPACITY:
            raise ConfigError("configuration", f"found more than {GroupPage.CAPACITY} streams", key=f"groups.{group}")
        self._entries[group] = known
        return {name: known[name] for name in streams}
