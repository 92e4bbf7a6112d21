"""Every way to get it wrong: exit code 78 and one line with file, line or key, what was found and what is allowed."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from syncsvc.cli import main


class Bad(NamedTuple):
    """A bad file, the place that the message names, and words of what was found and of what is allowed."""

    name: str
    text: str | bytes
    place: str
    found: str
    allowed: str

    def written_to(self, folder: Path) -> Path:
        file = folder / "site.yaml"
        file.write_bytes(self.text if isinstance(self.text, bytes) else self.text.encode())
        return file


OK = "streams:\n  a:\n    url: rtsp://h/1\n"


def key(name: str, line: str, place: str, found: str, allowed: str, url: str = "rtsp://h/1") -> Bad:
    """A stream with one bad key on line 4."""
    return Bad(name, f"streams:\n  a:\n    url: {url}\n    {line}\n", f":4: streams.a.{place}:", found, allowed)


def url(name: str, text: str, found: str, allowed: str) -> Bad:
    return Bad(name, f"streams:\n  a:\n    url: {text}\n", ":3: streams.a.url:", found, allowed)


def section(name: str, lines: str, place: str, found: str, allowed: str) -> Bad:
    """A further section from line 4 on."""
    return Bad(name, OK + lines, place, found, allowed)


def group(name: str, line: str, found: str, allowed: str) -> Bad:
    """A group with one bad key, on line 7."""
    place = f":7: groups.g.{line.partition(':')[0]}:"
    return section(name, f"groups:\n  g:\n    streams: [a]\n    {line}\n", place, found, allowed)


def live(name: str, endpoint: str, found: str, allowed: str) -> Bad:
    return section(name, f"publish: {{live: {endpoint}}}\n", ":4: publish.live:", found, allowed)


LANGUAGE = [
    Bad("empty file", "", ":", "found an empty file", "a mapping with `streams`"),
    Bad("only a comment", "# nothing\n", ":", "found an empty file", "a mapping with `streams`"),
    Bad("null document", "---\n", ":2:", "found null", "a mapping with `streams`"),
    Bad("a list", "- a\n- b\n", ":1:", "a list of 2", "a mapping with `streams`"),
    Bad("a text", "hello\n", ":1:", "'hello'", "a mapping with `streams`"),
    Bad("a number", "42\n", ":1:", "found 42", "a mapping with `streams`"),
    Bad("two documents", OK + "---\na: 1\n", ":5:", "a second document", "one document"),
    Bad("empty second document", OK + "---\n", ":5:", "a second document", "one document"),
    Bad("directive", "%YAML 1.1\n---\n" + OK, ":1:", "a % directive", "none"),
    Bad("tag directive", "%TAG !e! tag:x,2000:\n---\n" + OK, ":1:", "a % directive", "none"),
    Bad("anchor", "streams:\n  a: &x\n    url: rtsp://h\n", ":2: streams.a:", "an anchor", "values in full"),
    Bad("anchor on a scalar", "streams:\n  a:\n    url: &x rtsp://h\n", ":3: streams.a.url:", "an anchor", "in full"),
    Bad("alias", "streams:\n  a:\n    url: *x\n", ":3: streams.a.url:", "an alias", "values in full"),
    Bad("alias key", "*x : 1\n", ":1:", "a key with structure", "plain text keys"),
    Bad("merge key", "streams:\n  a:\n    <<: {url: rtsp://h}\n", ":3: streams.a:", "a merge key", "values in full"),
    Bad("merge key and alias", "b: &b {url: x}\nstreams: {a: {<<: *b}}\n", ":1: b:", "an anchor", "values in full"),
    Bad("standard tag", "streams:\n  a:\n    url: !!str rtsp://h\n", ":3: streams.a.url:", "a tag", "plain values"),
    Bad("python tag", "streams: !!python/object/apply:os.system [ls]\n", ":1: streams:", "a tag", "plain values"),
    Bad("local tag", "streams: !include other.yaml\n", ":1: streams:", "a tag", "plain values"),
    Bad("bare tag", "streams: !\n", ":1: streams:", "a tag", "plain values"),
    Bad(
        "duplicate key", OK + "    url: rtsp://h/2\n", ":4: streams.a.url:", "twice (first on line 3)", "each key once"
    ),
    Bad(
        "duplicate stream", OK + "  a:\n    url: rtsp://h/2\n", ":4: streams.a:", "twice (first on line 2)", "each key"
    ),
    Bad("duplicate section", OK + "streams: {}\n", ":4: streams:", "twice (first on line 1)", "each key once"),
    Bad("duplicate key, quoted", "streams: {a: {url: x, 'url': y}}\n", ":1: streams.a.url:", "twice", "each key once"),
    Bad("number as a key", "streams:\n  1:\n    url: rtsp://h\n", ":2: streams:", "found key 1", "text keys, quote it"),
    Bad("bool as a key", "streams:\n  true: {url: rtsp://h}\n", ":2: streams:", "found key true", "text keys"),
    Bad("null as a key", "streams:\n  ~: {url: rtsp://h}\n", ":2: streams:", "found key null", "text keys"),
    Bad("list as a key", "? [a, b]\n: 1\n", ":1:", "a key with structure", "plain text keys"),
    Bad("mapping as a key", "? {a: b}\n: 1\n", ":1:", "a key with structure", "plain text keys"),
    Bad("unclosed quote", "streams: {a: {url: 'rtsp://h}}\n", ":2:", "broken YAML", "`key: value` lines"),
    Bad("unclosed brace", "streams: {a: {url: rtsp://h}\n", ":2:", "broken YAML", "`key: value` lines"),
    Bad("tab indent", "streams:\n\ta:\n", ":2:", "broken YAML", "indented with spaces"),
    Bad("bad indent", "streams:\n    a:\n      url: x\n   b:\n", ":4:", "broken YAML", "indented with spaces"),
    Bad("surrogate escape", 'streams: {a: {url: "\\uD800"}}\n', ":1:", "broken YAML", "`key: value` lines"),
    Bad("NUL byte", b"streams:\n  a: \0\n", ":2:", "U+0000", "printable text"),
    Bad("escape character", b"streams:\n  a: \x1b[31m\n", ":2:", "U+001B", "printable text"),
    Bad("Latin-1", b"streams:\n  # caf\xe9\n", ":2:", "byte 0xe9", "UTF-8"),
    Bad("UTF-16", "streams: {}\n".encode("utf-16"), ":1:", "byte 0xff", "UTF-8"),
    Bad("overlong UTF-8", b"\xc0\xaf", ":1:", "byte 0xc0", "UTF-8"),
    Bad("21 levels", "[" * 21 + "]" * 21, ":1:", "nested more than 20 deep", "at most 20"),
]
TOP = [
    Bad("misspelt streams", "stream: {}\n", ":1: stream:", "did you mean `streams`?", "streams, groups, publish"),
    Bad("no streams", "groups: {g: {streams: [a]}}\n", ":1:", "found no `streams`", "streams, groups, publish, http"),
    Bad("streams null", "streams:\n", ":1: streams:", "found null", "a mapping with at least one name"),
    Bad("streams empty", "streams: {}\n", ":1: streams:", "a mapping with 0 keys", "at least one name"),
    Bad("streams a list", "streams:\n  - url: rtsp://h\n", ":1: streams:", "a list of 1", "at least one name"),
    Bad("streams a text", "streams: rtsp://h\n", ":1: streams:", "found 'rtsp://h'", "at least one name"),
    section("unknown section", "stream: 1\n", ":4: stream:", "did you mean `streams`?", "streams, groups, publish"),
    section("security a text", "security: keys\n", ":4: security:", "'keys'", "keys, clients, http_token, sandbox"),
    section("security unknown", "security: {key: a}\n", ":4: security.key:", "did you mean `keys`?", "clients"),
    section("keys alone", "security: {keys: k}\n", ":4: security.keys:", "`keys` alone", "add `clients: DIR`"),
    section("clients alone", "security: {clients: k}\n", ":4: security.clients:", "`clients` alone", "add `keys: DIR`"),
    section("keys a number", "security: {keys: 5, clients: c}\n", ":4: security.keys:", "found 5", "text"),
    section("sandbox", "security: {sandbox: on}\n", ":4: security.sandbox:", "'on'", "auto | required | off"),
    section(
        "spool of raw streams",
        "spool: {folder: s}\n",
        ":4: spool",
        "null, which takes group 'all' too",
        "'a' of 'all' is raw",
    ),
    section("spool of nobody", "spool: {folder: s, groups: [b]}\n", ":4: spool.groups[0]:", "found 'b'", "all"),
    section("spool of a raw group", "spool: {folder: s, groups: [all]}\n", ":4: spool.groups[0]:", "'all'", "is raw"),
    section("spool nowhere", "spool: {}\n", ":4: spool:", "found no `folder`", "keep_hours"),
    section("spool in no folder", "spool: {folder: ''}\n", ":4: spool.folder:", "found ''", "a folder's path"),
    section("spool in a number", "spool: {folder: 7}\n", ":4: spool.folder:", "found 7", "a folder's path"),
    section("spool for ever", "spool: {folder: s, keep_hours: 0}\n", ":4: spool.keep_hours:", "found 0", "above 0"),
    section("spool of nothing", "spool: {folder: s, max_gb: 0}\n", ":4: spool.max_gb:", "found 0", "from 0.001"),
    section("spool synced", "spool: {folder: s, sync: never}\n", ":4: spool.sync:", "'never'", "interval | always"),
    section("token short", "security: {http_token: abc}\n", ":4: security.http_token:", "a token", "8 to 256"),
    section(
        "token spaced", "security: {http_token: a b c d e}\n", ":4: security.http_token:", "a token", "without spaces"
    ),
    section("token number", "security: {http_token: 12345678}\n", ":4: security.http_token:", "***", "text"),
    Bad("stream null", "streams:\n  a:\n", ":2: streams.a:", "found null", "a mapping with at least `url`"),
    Bad("stream a text", "streams:\n  a: rtsp://h\n", ":2: streams.a:", "found 'rtsp://h'", "at least `url`"),
    Bad("stream without url", "streams:\n  a: {clock: auto}\n", ":2: streams.a:", "found no `url`", "at least `url`"),
    Bad(
        "name in capitals",
        "streams:\n  North:\n    url: rtsp://h\n",
        ":2: streams.North:",
        "'North' (write `north`)",
        "a-z 0-9 _ -",
    ),
    Bad("name with a dot", "streams: {a.b: {url: rtsp://h}}\n", ":1:", "'a.b'", "a-z 0-9 _ -"),
    Bad("name empty", "streams: {'': {url: rtsp://h}}\n", ":1: streams", "found ''", "1 to 64 characters"),
    Bad("name with a line break", 'streams: {"a\\n": {url: rtsp://h}}\n', ":1:", "'a\\n'", "a-z 0-9 _ -"),
    Bad("name of 65", f"streams: {{{'a' * 65}: {{url: rtsp://h}}}}\n", ":1:", "aaa", "1 to 64 characters"),
    Bad("name with an umlaut", "streams: {süd: {url: rtsp://h}}\n", ":1: streams.süd:", "'süd'", "a-z 0-9 _ -"),
]
STREAMS = [
    url("file with a long name", f"file:{'x' * 300}", "no file at", "a file that exists"),
    url(
        "variable file", "file:${REC:-absent}.mp4", "'file:${REC:-absent}.mp4', where no file is", "a file that exists"
    ),
    key("timestamps absent", "timestamps: no.csv", "timestamps", "no file at", "that exists", url="file:site.yaml"),
    url("no scheme", "10.0.0.1/stream", "without a scheme", "rtsp, rtsps, http, https, file, v4l2, synthetic"),
    url("other scheme", "ftp://h/a", "another scheme", "rtsp, rtsps, http, https, file"),
    url("url a number", "8554", "found 8554", "a URL as text"),
    url("url null", "null", "found null", "a URL as text"),
    url("url empty", "''", "found ''", "a URL as text"),
    url("url a list", "[rtsp://h]", "a list of 1", "a URL as text"),
    url("no host", "rtsp:///stream", "without a host", "rtsp://HOST:PORT/PATH"),
    url("no slashes", "rtsp:h/1", "without a host", "rtsp://HOST:PORT/PATH"),
    url("bad port", "rtsp://h:port/1", "a host or a port that is none", "rtsp://HOST:PORT/PATH"),
    url("port too high", "http://h:65536/1", "a host or a port that is none", "http://HOST:PORT/PATH"),
    url("slash in a password", "rtsp://u:p@ss/w:rd@h/1", "second @ behind a slash", "%2F"),
    url("number before a slash in a password", "http://u:p@8/w@h/1", "second @ behind a slash", "%2F"),
    url("open bracket", "'rtsp://[::1/1'", "a host or a port that is none", "rtsp://HOST:PORT/PATH"),
    url("white space", "rtsp://h/a b", "white space", "rtsp://HOST:PORT/PATH"),
    url("line break", '"rtsp://h/a\\nb"', "a control character", "printable characters"),
    url("url of 5000", "rtsp://h/" + "x" * 5000, "characters)", "text"),
    url("file with a host", "file://host/a.mp4", "'file://host/a.mp4'", "file:RELATIVE/PATH"),
    url("file without a name", "'file:'", "without a file's name", "file:RELATIVE/PATH"),
    url("file is the root", "file:/", "without a file's name", "file:RELATIVE/PATH"),
    url("folder absent", "file:absent/", "no file at", "a file that exists"),
    url("file absent", "file:absent.mp4", "no file at", "a file that exists"),
    url("file is a folder without pictures", "file:.", "no picture at", "a recording, or pictures (.jpg, .png"),
    url("no picture of a number", "file:%06d.jpg?fps=25", "no picture at", "a recording, or pictures (.jpg, .png"),
    url("parameter of pictures", "file:%06d.jpg?fsp=25", "'fsp' (did you mean `fps`?)", "fps"),
    url("rate of pictures", "file:%06d.jpg?fps=fast", "fps=fast", "a number"),
    url("rate of pictures of 0", "file:%06d.jpg?fps=0", "fps 0.0", "a number above 0"),
    url("relative device", "v4l2:video0", "not an absolute path", "v4l2:/dev/video0"),
    url("device parameter", "v4l2:/dev/video0?fsp=30", "'fsp' (did you mean `fps`?)", "fps, size, fourcc"),
    url("device size", "v4l2:/dev/video0?size=720p", "size=720p", "WIDTHxHEIGHT"),
    url("device size too small", "v4l2:/dev/video0?size=1x1", "size 1", "from 16 to 8192"),
    url("device fourcc", "v4l2:/dev/video0?fourcc=MJPEG", "fourcc=MJPEG", "four letters or digits"),
    url("synthetic path", "synthetic:bars", "between `synthetic:` and `?`", "synthetic:?fps=25"),
    url("synthetic parameter", "synthetic:?colour=red", "unknown parameter 'colour'", "fps, size, offset_ms"),
    url("synthetic twice", "synthetic:?fps=25&fps=30", "'fps' twice", "each parameter once"),
    url("synthetic no value", "synthetic:?fps", "'fps' without a value", "fps=VALUE"),
    url("synthetic text", "synthetic:?fps=fast", "fps=fast", "a number"),
    url("synthetic bool", "synthetic:?drop=true", "drop=true", "a number"),
    url("synthetic zero fps", "synthetic:?fps=0", "fps 0", "a number above 0 to 1000"),
    url("synthetic nan", "synthetic:?drift_ppm=.nan", "drift_ppm nan", "from -100000 to 100000"),
    url("synthetic drop", "synthetic:?drop=8", "drop 8", "from 0 to 1"),
    url("synthetic seed", "synthetic:?seed=1.5", "seed=1.5", "a whole number"),
    url("synthetic stall", "synthetic:?stall=10", "stall=10", "EVERY:FOR"),
    url("synthetic stall too long", "synthetic:?stall=2:3", "stall=2:3", "smaller than the first"),
    url("synthetic too narrow", "synthetic:?size=80x60", "size 80", "from 160 to 8192"),
    url("synthetic too low", "synthetic:?size=1280x72", "size=1280x72", "an eighth of the width"),
    key("unknown key", "transprot: tcp", "transprot", "did you mean `transport`?", "transport, clock"),
    key("kind is no key", "kind: rtsp", "kind", "an unknown key", "url, pixels, quality, size"),
    key("path is no key", "path: a", "path", "an unknown key", "url, pixels, quality, size", url="file:a"),
    key("spec is no key", "spec: {}", "spec", "an unknown key", "url, pixels", url="'synthetic:'"),
    key("fps is no key", "fps: 30", "fps", "an unknown key", "url, pixels", url="v4l2:/dev/video0"),
    key("transport of a file", "transport: tcp", "transport", "of rtsp streams in a file stream", "loop", url="file:a"),
    key("loop of a camera", "loop: true", "loop", "of file streams in a rtsp stream", "transport"),
    key("pace of a camera", "pace: asap", "pace", "of file streams in a http stream", "clock", url="http://h/a"),
    key("timestamps of a camera", "timestamps: a.csv", "timestamps", "of file streams in a rtsp stream", "transport"),
    key("transport", "transport: quic", "transport", "'quic'", "auto | tcp | udp"),
    key("transport bool", "transport: true", "transport", "found true", "auto | tcp | udp"),
    key("pixels", "pixels: rgb24", "pixels", "'rgb24'", "i420 | bgr24 | gray8"),
    key(
        "encoded device",
        "pixels: encoded",
        "pixels",
        "'encoded'",
        "jpeg (encoded is for rtsp and http and file streams)",
        url="v4l2:/dev/video0",
    ),
    key(
        "encoded synthetic",
        "pixels: encoded",
        "pixels",
        "'encoded'",
        "i420 | bgr24 | gray8 | jpeg (encoded is for",
        url="'synthetic:'",
    ),
    key(
        "encoded scaled",
        "size: [640, 360]\n    pixels: encoded",
        "size",
        "found [640, 360]",
        "null with pixels: encoded",
    ),
    key(
        "coded camera",
        "coded: true",
        "coded",
        "found true",
        "false, because they come without a codec",
        url="v4l2:/dev/video0",
    ),
    key(
        "coded made",
        "coded: true",
        "coded",
        "found true",
        "false, because they come without a codec",
        url="synthetic:?fps=25",
    ),
    key("coded word", "coded: some", "coded", "found 'some'", "true or false"),
    key("quality zero", "quality: 0\n    pixels: jpeg", "quality", "found 0", "a whole number from 1 to 100 or null"),
    key("quality 101", "quality: 101\n    pixels: jpeg", "quality", "found 101", "from 1 to 100"),
    key("quality float", "quality: 8.5\n    pixels: jpeg", "quality", "found 8.5", "a whole number"),
    key("quality alone", "quality: 85", "quality", "found 85", "null, or pixels: jpeg (they are i420 here)"),
    key("quality encoded", "quality: 85\n    pixels: encoded", "quality", "found 85", "(they are encoded here)"),
    key("size text", "size: 640x360", "size", "'640x360'", "[width, height]"),
    key("size of one", "size: [640]", "size", "[640]", "[width, height]"),
    key("size of three", "size: [640, 360, 3]", "size", "[640, 360, 3]", "[width, height]"),
    key("size of texts", "size: [640, '360']", "size[1]", "'360'", "from 16 to 8192"),
    key("size zero", "size: [0, 360]", "size[0]", "found 0", "from 16 to 8192"),
    key("size huge", "size: [32000, 32000]", "size[0]", "found 32000", "from 16 to 8192"),
    key("size floats", "size: [640.0, 360.0]", "size[0]", "found 640.0", "a whole number"),
    key("latency negative", "latency_ms: -1", "latency_ms", "found -1", "from 0 to 60000"),
    key("latency text", "latency_ms: '5'", "latency_ms", "'5'", "a number from 0"),
    key("latency nan", "latency_ms: .nan", "latency_ms", "found nan", "a number from 0"),
    key("latency inf", "latency_ms: .inf", "latency_ms", "found inf", "a number from 0"),
    key("latency overflow", "latency_ms: 1e999", "latency_ms", "found inf", "a number from 0"),
    key("latency bool", "latency_ms: true", "latency_ms", "found true", "a number from 0"),
    key("latency octal", "latency_ms: 010", "latency_ms", "'010'", "a number from 0"),
    key("latency sexagesimal", "latency_ms: 22:22", "latency_ms", "'22:22'", "a number from 0"),
    key("latency of 1000 digits", "latency_ms: " + "9" * 1000, "latency_ms", "(1000 characters)", "a number from 0"),
    key("stall zero", "stall_after_ms: 0", "stall_after_ms", "found 0", "from 1 to 3600000"),
    key("stall float", "stall_after_ms: 3e3", "stall_after_ms", "found 3000.0", "a whole number"),
    key("stall null", "stall_after_ms: null", "stall_after_ms", "found null", "a whole number"),
    key(
        "stall within a frame", "stall_after_ms: 900", "stall_after_ms", "found 900", "1000 ms", url="synthetic:?fps=1"
    ),
    key("clock", "clock: ntp", "clock", "'ntp'", "auto | rtcp | model | arrival"),
    key("clock pts of a camera", "clock: pts", "clock", "'pts'", "pts is for file and synthetic streams"),
    key("clock rtcp of a file", "clock: rtcp", "clock", "'rtcp'", "rtcp is for rtsp streams", url="file:a"),
    key("clock rtcp of http", "clock: rtcp", "clock", "'rtcp'", "auto | model | arrival", url="http://h/a"),
    key("loop text", 'loop: "yes"', "loop", "'yes'", "true or false", url="file:a"),
    key("loop 1.1", "loop: yes", "loop", "'yes'", "true or false", url="file:a"),
    key("loop number", "loop: 1", "loop", "found 1", "true or false", url="file:a"),
    key("pace", "pace: fast", "pace", "'fast'", "realtime | asap", url="file:a"),
    key("timestamps a number", "timestamps: 5", "timestamps", "found 5", "text", url="file:a"),
    Bad(
        "asap beside a camera",
        "streams:\n  b: {url: rtsp://h}\n  a:\n    url: file:a\n    pace: asap\n",
        ":5: streams.a.pace:",
        "found asap",
        "for all streams of a daemon or for none; 'b' is not asap",
    ),
    Bad(
        "asap beside realtime",
        "streams: {a: {url: file:a, pace: asap}, b: {url: file:b}}\n",
        ":1: streams.a.pace:",
        "found asap",
        "for all streams",
    ),
]
GROUPS = [
    section("groups null", "groups:\n", ":4: groups:", "found null", "at least one name"),
    section("groups empty", "groups: {}\n", ":4: groups:", "a mapping with 0 keys", "at least one name"),
    section("groups a list", "groups: [g]\n", ":4: groups:", "a list of 1", "at least one name"),
    section("group null", "groups:\n  g:\n", ":5: groups.g:", "found null", "streams, window_ms"),
    section("group's name", "groups:\n  Lobby: {streams: [a]}\n", ":5: groups.Lobby:", "'Lobby'", "a-z 0-9 _ -"),
    section(
        "group without streams", "groups:\n  g: {late: drop}\n", ":5: groups.g:", "found no `streams`", "window_ms"
    ),
    section("group of none", "groups:\n  g: {streams: []}\n", ":5: groups.g.streams:", "[]", "at least one"),
    section("group of a text", "groups:\n  g: {streams: a}\n", ":5: groups.g.streams:", "'a'", "a list"),
    section("stream unknown", "groups: {g: {streams: [a, b]}}\n", ":4: groups.g.streams[1]:", "'b'", "`streams`: a"),
    section("stream twice", "groups: {g: {streams: [a, a]}}\n", ":4: groups.g.streams[1]:", "'a' twice", "each stream"),
    section("stream a number", "groups: {g: {streams: [1]}}\n", ":4: groups.g.streams[0]:", "found 1", "text"),
    group("unknown key", "max_skew: 40", "did you mean `max_skew_ms`?", "window_ms"),
    group("window zero", "window_ms: 0", "found 0", "from 1 to 60000 or null"),
    group("window long", "window_ms: 60001", "found 60001", "to 60000"),
    group("window float", "window_ms: 1000.5", "1000.5", "a whole number"),
    group("window huge", "window_ms: 99999999999999999999", "999", "a whole number"),
    group("window bool", "window_ms: true", "found true", "a whole number"),
    group("skew negative", "max_skew_ms: -1", "found -1", "from 0 below 60000"),
    group("skew of a window", "max_skew_ms: 1000", "1000", "less than window_ms"),
    section(
        "window below skew",
        "groups:\n  g:\n    streams: [a]\n    window_ms: 20\n",
        ":5: groups.g.max_skew_ms:",
        "found 40",
        "window_ms, which is 20",
    ),
    group("latency zero", "max_latency_ms: 0", "found 0", "above 0 to 60000"),
    group("reference", "reference: b", "'b'", "null or a stream of this group: a"),
    group("sets of one", "min_streams: 1", "found 1", "2"),
    group("sets of more than there are", "min_streams: 3", "3", "as many as the group has at most: 1 stream"),
    group("reference a list", "reference: [a]", "a list of 1", "or null"),
    group("late", "late: keep", "'keep'", "topic | drop"),
]
ENDPOINTS = [
    live("IPv4 in brackets", "'tcp://[127.0.0.1]:5'", "off loopback", "[::1]"),
    live("mapped IPv4", "'tcp://[::ffff:127.0.0.1]:5'", "off", "[::1]"),
    section("publish null", "publish:\n", ":4: publish:", "found null", "live, control, history, history_mb, wait_for"),
    section("publish unknown", "publish: {port: 1}\n", ":4: publish.port:", "an unknown key", "live, control"),
    section("history text", 'publish: {history: "8"}\n', ":4: publish.history:", "'8'", "a whole number from 0"),
    section("history negative", "publish: {history: -1}\n", ":4: publish.history:", "found -1", "from 0 to 10000"),
    section("wait_for bool", "publish: {wait_for: false}\n", ":4: publish.wait_for:", "false", "a whole number"),
    live("live everywhere", "'tcp://*:5555'", "off loopback", "`security:"),
    live("live any", "tcp://0.0.0.0:5555", "off loopback", "127.0.0.0/8"),
    live("live lan", "tcp://10.0.0.5:5555", "tcp://10.0.0.5", "`security: {keys: DIR, clients: DIR}`"),
    live("live name", "tcp://host:5555", "off loopback", "localhost"),
    live("live IPv6", "'tcp://::1:5555'", "tcp://::1", "in brackets"),
    live("live no port", "tcp://127.0.0.1", "without a host or a port", "ipc"),
    live("live port", "tcp://127.0.0.1:70000", "a port from 0 to 65535", "tcp://HOST:PORT"),
    live("live inproc", "inproc://a", "'inproc://a'", "tcp://HOST:PORT"),
    live("live number", "5555", "found 5555", "text"),
    live("ipc relative", "ipc://run/a", "'ipc://run/a'", "ipc:///PATH"),
    live("ipc abstract", "'ipc://@a'", "'ipc://***@a'", "ipc:///PATH"),
    live("ipc long", f"ipc:///{'a' * 107}", "108 bytes", "at most 107 bytes"),
    section(
        "one endpoint twice",
        "publish:\n  live: tcp://127.0.0.1:5556\n",
        ":4: publish.control:",
        "an endpoint twice",
        "publish.live",
    ),
    section(
        "one endpoint by two names",
        "publish:\n  live: tcp://localhost:7000\n  control: tcp://127.0.0.1:7000\n",
        ":6: publish.control:",
        "an endpoint twice",
        "another one than that of publish.live",
    ),
    section(
        "one ipc path twice",
        "publish: {live: ipc:///run/a, control: ipc:///run/./a}\n",
        ":4: publish.control:",
        "an endpoint twice",
        "publish.live",
    ),
    section("http on live", "http: {bind: 127.0.0.1:5555}\n", ":4: http.bind:", "an endpoint twice", "publish.live"),
    section("http everywhere", "http: {bind: 0.0.0.0:80}\n", ":4: http.bind:", "off loopback", "`security:"),
    section("http no port", "http: {bind: localhost}\n", ":4: http.bind:", "'localhost'", "127.0.0.1:8080"),
    section(
        "http url",
        "http: {bind: 'http://127.0.0.1:80'}\n",
        ":4: http.bind:",
        "'http://127.0.0.1:80'",
        "HOST:PORT, for example",
    ),
    section("http off", "http: off\n", ":4: http:", "'off'", "bind, tls, or null"),
    section("http false", "http: false\n", ":4: http:", "found false", "bind, tls, or null"),
    section("http without a token", "http: {bind: '[::]:80'}\n", ":4: http.bind:", "off loopback", "http_token"),
    section("tls half", "http: {tls: {cert: a}}\n", ":4: http.tls:", "found no `key`", "cert, key"),
    section("http unknown", "http: {port: 80}\n", ":4: http.port:", "an unknown key", "bind"),
]
VARIABLES = [
    url("unset variable", "rtsp://${UNSET}/1", "variable UNSET, which is not set", "${UNSET:-default}"),
    url("unclosed variable", "rtsp://${UNSET/1", "not closed", "${NAME} or ${NAME:-default}"),
    url("nested variable", "rtsp://${A:-${B}}/1", "one inside another", "${NAME:-default}"),
    url("name of a variable", "rtsp://${1A}/1", "a variable's name", "${NAME}"),
    url("empty variable", "rtsp://${}/1", "a variable's name", "${NAME}"),
    url("other operator", "rtsp://${A:=b}/1", "a variable's name", "${NAME:-default}"),
    key("quoted variable", "latency_ms: '${N:-5}'", "latency_ms", "'${N:-5}'", "a number"),
    key("variable with structure", "size: ${N:-[640, 360]}", "size", "'${N:-[640, 360]}'", "[width, height]"),
]
ALL = [*LANGUAGE, *TOP, *STREAMS, *GROUPS, *ENDPOINTS, *VARIABLES]


def test_the_table_is_as_long_as_promised() -> None:
    assert len(ALL) >= 110
    assert len({bad.text for bad in ALL}) == len(ALL)


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_refused_with_one_line_that_says_where_and_what(bad: Bad, tmp_path: Path) -> None:
    file = bad.written_to(tmp_path)
    result = CliRunner(env={"UNSET": None}).invoke(main, ["check", str(file)])
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr.endswith("\n")
    line = result.stderr[:-1]
    assert line.isprintable()
    assert line.startswith(f"syncsvc: {file}:")
    found, separator, allowed = line.removeprefix(f"syncsvc: {file}").partition("; allowed: ")
    assert separator
    place, _, found = found.partition("found ")
    assert place.startswith(bad.place)
    assert bad.found.removeprefix("found ") in found
    assert bad.allowed in allowed
    assert len(line) < len(str(file)) + 500


@pytest.mark.parametrize(
    "bad", [bad for bad in ALL if bad.name in ("alias", "clock", "live any")], ids=lambda bad: bad.name
)
def test_the_real_command_says_the_same(bad: Bad, tmp_path: Path) -> None:
    file = bad.written_to(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "syncsvc", "check", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.count("\n") == 1
    assert bad.found in done.stderr
    assert bad.allowed in done.stderr


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    for name, reason in (("absent.yaml", "No such file"), (".", "directory"), ("x\0y", "not a file's name")):
        result = CliRunner().invoke(main, ["check", str(tmp_path / name) if name != "x\0y" else name])
        assert (result.exit_code, result.stderr.count("\n")) == (78, 1)
        assert reason in result.stderr
        assert "a YAML file" in result.stderr


def test_a_device_is_no_configuration() -> None:
    result = CliRunner().invoke(main, ["check", "/dev/zero"])
    assert (result.exit_code, result.stderr) == (
        78,
        "syncsvc: /dev/zero: found no regular file; allowed: a YAML file\n",
    )


def test_the_first_problem_of_the_file_is_the_one_reported(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(f"{OK}http: {{bind: 1}}\npublish: {{history: x}}\ngroups: {{g: {{streams: [a], late: x}}}}\n")
    result = CliRunner().invoke(main, ["check", str(file)])
    assert result.stderr.startswith(f"syncsvc: {file}:4: http.bind: ")
