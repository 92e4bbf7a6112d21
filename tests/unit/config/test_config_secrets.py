"""No password in any message, repr or summary, wherever it stood and whatever was wrong."""

import traceback
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_config_refusals import ALL, Bad

from syncsvc.cli import main
from syncsvc.config.loader import loads
from syncsvc.config.models import StreamKeys
from syncsvc.config.urls import redact_text, redact_url, secrets_in
from syncsvc.errors import ConfigError

CANARY = "canary-9f3"
GOOD = f"streams:\n  a:\n    url: rtsp://user:{CANARY}@10.0.0.1:554/s\n"

BAD_URLS = [
    "rtsp://user:%s@",
    "rtsp://user:%s",
    "rtsp://user:%s@10.0.0.1:port/s",
    "rtsp://user:pa/%s@10.0.0.1/s",
    "rtsp://user:pa?%s@10.0.0.1/s",
    "rtsp://user:pa#%s@10.0.0.1/s",
    "rtsp://user:x@%s@[10.0.0.1/s",
    "rtsp:/user:%s@10.0.0.1/s",
    "rtsp:user:%s@10.0.0.1/s",
    "rtps://user:%s@10.0.0.1/s",
    "user:%s@10.0.0.1/s",
    "%s",
    "%s:554",
    "rtsp://user:%s@10.0.0.1/a b",
    "http://10.0.0.1:x/v?password=%s",
    "http://user:%s@10.0.0.1:99999/v",
    "${URL:-rtsp://user:%s@10.0.0.1:x/s}",
    "rtsp://user:${PW:-%s}@10.0.0.1:x/s",
    "rtsp://user:pa${%s@10.0.0.1/s",
    "rtsp://user:pa${ %s }@10.0.0.1/s",
    "rtsp://user:&%s *%s !%s@10.0.0.1:x/s",
    '"rtsp://user:%s@10.0.0.1/\\n"',
    "&%s",
    "*%s",
    "!%s rtsp://h",
    "@%s",
    "'rtsp://user:%s@h",
    '"rtsp://user:%s\\q@h"',
    "[rtsp://user:%s@h]",
    "{rtsp://user:%s@h: 1}",
]
BAD_REST = [
    "    pasword: {pw}\n",
    "    transport: rtsp://user:{pw}@10.0.0.1/s\n",
    "    stall_after_ms: {pw}\n",
    "    clock: {pw}\n    pixels: jpeg\n",
    "    size: [{pw}, 1]\n",
    "    rtsp://user:{pw}@10.0.0.1/s: 1\n",
    "    {pw}: 1\n",
    "  rtsp://user:{pw}@h: {{url: x}}\n",
    "groups: {{g: {{streams: ['rtsp://user:{pw}@h']}}}}\n",
    "groups: {{g: {{streams: [a], reference: '{pw}'}}}}\n",
    "publish: {{live: 'tcp://user:{pw}@127.0.0.1:5'}}\n",
    "http: {{bind: 'user:{pw}@127.0.0.1:5'}}\n",
    "http: 'http://127.0.0.1/?token={pw}'\n",
    "{pw}\n",
]


def refusal(text: str, **environ: str) -> str:
    """Everything that anybody might print of the refusal, the traceback of its causes included."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "site.yaml", "/", environ)
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_never_shows_its_password(url: str) -> None:
    assert CANARY not in refusal(f"streams:\n  a:\n    url: {url.replace('%s', CANARY)}\n")


@pytest.mark.parametrize("url", [url for url in BAD_URLS if url[0] not in "&*!@'\"[{" and "${" not in url])
def test_a_value_of_the_environment_is_never_shown(url: str) -> None:
    assert CANARY not in refusal("streams:\n  a:\n    url: ${CAMERA}\n", CAMERA=url.replace("%s", CANARY))


@pytest.mark.parametrize("rest", BAD_REST)
def test_a_password_known_from_a_url_is_masked_wherever_else_it_stands(rest: str) -> None:
    assert CANARY not in refusal(GOOD + rest.format(pw=CANARY))


@pytest.mark.parametrize("value", ["rtsp://u:pa %s@h", "u:%s@h", "u:pa//%s@h:5", "//u:%s@h", "${A:-u:%s@h}"])
@pytest.mark.parametrize("line", ["    transport: '{}'\n", "http: {{bind: '{}'}}\n", "publish: {{live: '{}'}}\n"])
def test_what_looks_like_a_login_is_masked_under_any_key(line: str, value: str) -> None:
    assert CANARY not in refusal("streams:\n  a:\n    url: rtsp://h/1\n" + line.format(value.replace("%s", CANARY)))


def test_the_value_of_a_variable_called_like_a_secret_is_masked_where_the_file_repeats_it() -> None:
    text = f"streams:\n  a:\n    url: rtsp://h/${{CAM_TOKEN}}\nhttp: {CANARY}\n"
    assert "found '***'" in refusal(text, CAM_TOKEN=CANARY)


@pytest.mark.parametrize("rest", [rest for rest in BAD_REST if not rest.strip().startswith(("rtsp", "{pw}"))])
def test_a_variable_is_shown_as_the_file_has_it(rest: str) -> None:
    text = "streams:\n  a:\n    url: rtsp://h/1\n" + rest.format(pw="${CAM_VALUE}")
    assert CANARY not in refusal(text, CAM_VALUE=CANARY)


@pytest.mark.parametrize("bad", [bad for bad in ALL if bad.name != "streams null"], ids=lambda bad: bad.name)
def test_no_refusal_shows_the_password_of_a_neighbour(bad: Bad, tmp_path: Path) -> None:
    neighbour = f"  zzz:\n    url: rtsp://user:{CANARY}@10.0.0.1/s\n".encode()
    text = bad.text if isinstance(bad.text, bytes) else bad.text.encode()
    file = tmp_path / "site.yaml"
    file.write_bytes(text.replace(b"streams:\n", b"streams:\n" + neighbour))
    result = CliRunner().invoke(main, ["check", str(file)])
    assert result.exit_code == 78
    assert CANARY not in result.output + repr(result.exception)


def test_a_valid_configuration_shows_no_password_either(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(GOOD + "  b: {url: 'http://10.0.0.2/v?user=me&pwd=${OTHER_PW}'}\n")
    result = CliRunner(env={"OTHER_PW": CANARY}).invoke(main, ["check", str(file)])
    assert result.exit_code == 0
    assert "rtsp://***@10.0.0.1:554/s" in result.stdout
    assert "user=me&pwd=***" in result.stdout
    assert CANARY not in result.output
    config = loads(file.read_text(), "site.yaml", "/", {"OTHER_PW": CANARY})
    assert CANARY not in f"{config!r} {config} {config.streams['a']!r} {list(config.streams.values())}"
    assert config.secrets == {CANARY}


def test_the_variables_that_a_file_mentions_are_known_by_name_set_or_not() -> None:
    text = GOOD + "  b: {url: 'http://u:${OTHER_PW}@10.0.0.2/${PLACE:-x}${PLACE}'}\n# ${COMMENT}\n"
    config = loads(text, "site.yaml", "/", {"OTHER_PW": CANARY, "PLACE": "y", "UNUSED": "z"})
    assert config.variables == {"OTHER_PW", "PLACE"}
    assert loads(GOOD + "  b: {url: '${URL:-synthetic:}'}\n", "site.yaml", "/", {}).variables == {"URL"}
    assert loads(GOOD, "site.yaml", "/", {}).variables == frozenset()
    assert "variables" not in config.model_dump()


def test_models_do_not_quote_their_input() -> None:
    with pytest.raises(ValueError, match="1 validation error") as caught:
        StreamKeys(url=f"rtsp://user:{CANARY}@h", pixels=CANARY)  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:pw@10.0.0.1:554/s?a=b", "rtsp://***@10.0.0.1:554/s?a=b"),
        ("rtsp://10.0.0.1:554/s", "rtsp://10.0.0.1:554/s"),
        ("rtsp://[::1]:554/s", "rtsp://[::1]:554/s"),
        ("rtsp://[::1]/s", "rtsp://[::1]/s"),
        ("rtsp://user:p@w@h/s", "rtsp://***@h/s"),
        ("rtsp://user:p/w@h/s", "rtsp://***@h/s"),
        ("rtsp://user:pw", "rtsp://***"),
        ("rtsp://user:pw/s", "rtsp://***"),
        ("http://h/v?user=me&password=pw&x=1", "http://h/v?user=me&password=***&x=1"),
        ("http://h/v?auth_token=pw", "http://h/v?auth_token=***"),
        ("file:a@b.mp4", "file:a@b.mp4"),
        ("file:///a@b.mp4", "file:///a@b.mp4"),
        ("file:rtsp://u:pw@h", "file:***@h"),
        ("v4l2:/dev/video0?fps=3", "v4l2:/dev/video0?fps=3"),
    ],
)
def test_a_url_keeps_what_is_not_secret(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(
    st.sampled_from(["rtsp", "rtsps", "http", "https"]),
    st.text(st.characters(exclude_characters="*", codec="utf-8"), min_size=4),
)
def test_no_password_survives_redaction(scheme: str, password: str) -> None:
    url = f"{scheme}://USER:{password}@HOST/PATH"
    # Joined with what stands around it, a password cannot be told from the rest of the URL.
    assert f":{password}@" not in redact_url(url)
    assert redact_url(url).endswith("***@HOST/PATH")
    assert password in secrets_in(url)


@given(st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="'\"<>*"), min_size=4))
def test_urls_inside_text_are_redacted(password: str) -> None:
    assert redact_text(f"open rtsp://u:{password}@h/s failed") == "open rtsp://***@h/s failed"
