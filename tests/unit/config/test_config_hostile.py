"""Files made to hurt: always a ConfigError on one line, never a crash, never much work."""

import random

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncsvc.config import yamltext
from syncsvc.config.loader import loads
from syncsvc.config.models import Config
from syncsvc.config.yamltext import decode
from syncsvc.errors import ConfigError

BILLION_LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGE_BOMB = "m0: &m0 {k: v}\n" + "".join(
    f"m{i}: &m{i} {{<<: [{','.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)
MEGABYTE = 1_000_000
HOSTILE = {
    "alias bomb": BILLION_LAUGHS,
    "merge bomb": MERGE_BOMB,
    "self reference": "&a [*a]",
    "brackets": "[" * MEGABYTE,
    "braces": "{" * MEGABYTE,
    "spaced brackets": "[ " * (MEGABYTE // 2),
    "nested lists": "- " * (MEGABYTE // 2),
    "nested complex keys": "? " * (MEGABYTE // 2),
    "keys in keys": "{? " * (MEGABYTE // 3),
    "closing brackets": "]" * MEGABYTE,
    "colons": ":" * MEGABYTE,
    "many keys of one line": "a: " * (MEGABYTE // 3),
    "many values": "streams: [" + "a," * 400_000 + "]",
    "many lines": "".join(f"k{i}:\n" for i in range(100_000)),
    "one key, many times": "a:\n" * 300_000,
    "quotes": "'" * MEGABYTE,
    "unclosed quote": "a: '" + "x\n " * 300_000,
    "unclosed double quote": 'a: "' + "\\" * (MEGABYTE - 4),
    "block scalar": "a: |\n" + " x\n" * 300_000,
    "spaces": " " * MEGABYTE,
    "line breaks": "\n" * MEGABYTE,
    "tabs": "\t" * MEGABYTE,
    "comments": "#\n" * (MEGABYTE // 2),
    "documents": "---\n" * (MEGABYTE // 4),
    "anchors": "&a " * (MEGABYTE // 3),
    "aliases": "*a " * (MEGABYTE // 3),
    "tags": "!a " * (MEGABYTE // 3),
    "long tag": "a: !" + "a" * (MEGABYTE - 4),
    "directives": "%TAG ! a\n" * 100_000,
    "huge number": "a: " + "9" * (MEGABYTE - 3),
    "huge exponent": "streams: 1e999999999",
    "long key": "a" * 2000 + ": 1",
    "variables": "a: " + "${A:-b}" * 100_000,
    "open variables": "a: " + "${" * 400_000,
    "ats": "streams: {a: {url: 'rtsp://" + ":@" * 100_000 + "'}}",
    "escapes": 'a: "' + "\\x1b" * 200_000 + '"',
    "too long": "#" * (MEGABYTE + 1),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(HOSTILE[name], "x.yaml", "/", {})
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["alias bomb", "brackets", "braces", "keys in keys", "long tag", "escapes"])
def test_the_parser_without_libyaml_refuses_them_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltext, "_PARSER", yaml.SafeLoader)
    with pytest.raises(ConfigError):
        loads(HOSTILE[name], "x.yaml", "/", {})


@pytest.mark.parametrize("text", ['a: "\\uD800"', 'a: "\\UFFFFFFFF"', "a: !x!y z", "a: @", "a: `", "a: 'x"])
@pytest.mark.parametrize("parser", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
def test_both_parsers_refuse_broken_text(text: str, parser: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltext, "_PARSER", parser)
    with pytest.raises(ConfigError) as caught:
        loads(text, "x.yaml", "/", {})
    assert str(caught.value).isprintable()


def outcome(text: str, **environ: str) -> Config | None:
    """The configuration, or None where it is refused properly; anything else fails the test."""
    try:
        return loads(text, "x.yaml", "/", environ)
    except ConfigError as error:
        check(error)
        return None


def check(error: ConfigError) -> None:
    assert str(error).isprintable()
    assert str(error).startswith("x.yaml:")
    assert "found" in error.problem
    assert "; allowed: " in error.problem


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
@example(b"\xed\xa0\x80")
def test_no_bytes_do_anything_but_load_or_be_refused(data: bytes) -> None:
    try:
        text = decode(data, "x.yaml")
    except ConfigError as error:
        check(error)
    else:
        outcome(text)


@given(st.text(max_size=300))
@example("\ud800")
def test_no_text_does(text: str) -> None:
    outcome(text)


@given(st.text("streams:groupsurl{}[],&*!|>'\"%@`#?-. \n\t$1e~<", max_size=200))
def test_no_yaml_lookalike_does(text: str) -> None:
    outcome(text)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["rtsp://h/1", "file:a", "synthetic:?fps=5", "v4l2:/dev/video0?size=64x48", "asap", "pts", "a", "g"]
    ),
)
KEYS = st.sampled_from(
    [
        *(
            "streams",
            "groups",
            "publish",
            "http",
            "a",
            "g",
            "all",
            "rtsp",
            "spec",
            "[key]",
            "url",
            "clock",
            "size",
            "pixels",
        ),
        *(
            "loop",
            "pace",
            "timestamps",
            "transport",
            "window_ms",
            "max_skew_ms",
            "reference",
            "live",
            "bind",
            "kind",
            "fps",
        ),
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {"streams": st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES) | VALUES, max_size=3)},
        optional={"groups": VALUES, "publish": VALUES, "http": VALUES},
    )
)
def test_no_structure_does(value: object) -> None:
    outcome(yaml.safe_dump(value, allow_unicode=True))


@settings(max_examples=300)
@given(st.sampled_from(["rtsp", "http", "file", "v4l2", "synthetic", "ipc", "tcp", ""]), st.text(max_size=60))
def test_no_url_and_no_variable_does(scheme: str, rest: str) -> None:
    text = "streams: {a: {url: '${URL}'}}\npublish: {live: '${URL}'}\nhttp: {bind: '${URL}'}"
    outcome(text, URL=f"{scheme}:{rest}")
    outcome("streams: {a: {url: '${URL}'}}", URL=f"{scheme}:{rest}")


def test_changed_bytes_of_a_good_file_never_crash() -> None:
    good = (
        b"streams:\n  a: {url: 'rtsp://u:${P:-x}@h/1', size: [640, 360], latency_ms: 1e1}\n"
        b"  b: {url: 'synthetic:?fps=5'}\n"
        b"groups:\n  g: {streams: [a, b], window_ms: 500, reference: a}\nhttp: {bind: 127.0.0.1:8080}\n"
    )
    rng = random.Random(7)
    loaded = 0
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            loaded += outcome(decode(bytes(data), "x.yaml")) is not None
        except ConfigError:
            continue
    assert loaded > 0
