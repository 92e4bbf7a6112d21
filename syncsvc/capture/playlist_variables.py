"""Variables of HLS playlists: ``{$name}`` stands for what EXT-X-DEFINE says of it; pure.

One that nobody defines stays as it is written: only what is named with it cannot be had.
Source: RFC 8216bis, HTTP Live Streaming 2nd edition, 4.3 and 4.4.2.3.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

_REFERENCE = re.compile(r"\{\$([A-Za-z0-9_-]+)\}")


class Variables:
    """What one playlist defines, with what it takes over from its URL and from the playlist that named it."""

    def __init__(self, url: str, above: Mapping[str, str]) -> None:
        self._url, self._above = url, above
        self.values: dict[str, str] = {}

    def define(self, attributes: Mapping[str, str]) -> None:
        """Take in one EXT-X-DEFINE; what was defined already, and what is nowhere to be taken from, is skipped."""
        name, value = attributes.get("NAME", ""), attributes.get("VALUE")
        if "IMPORT" in attributes:
            name = attributes["IMPORT"]
            value = self._above.get(name)
        elif "QUERYPARAM" in attributes:
            name = attributes["QUERYPARAM"]
            value = next(iter(self._parameters().get(name, ())), None)
        if name and value is not None:
            self.values.setdefault(name, value)

    def _parameters(self) -> dict[str, list[str]]:
        try:
            return parse_qs(urlsplit(self._url).query, keep_blank_values=True)
        except ValueError:  # more than anybody has
            return {}

    def put_into(self, line: str) -> str:
        """The line with values in the place of variables."""
        return _REFERENCE.sub(lambda found: self.values.get(found[1], found[0]), line) if self.values else line
