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
    assert "user=***&pwd=***" in result.stdout
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
        ("http://h/v?user=me&password=pw&x=1", "http://h/v?user=***&password=***&x=1"),
        ("http://h/v?auth_token=pw", "http://h/v?auth_token=***"),
        ("file:a@b.mp4", "file:a@b.mp4"),
        ("file:///a@b.mp4", "file:///a@b.mp4"),
        ("file:rtsp://u:pw@h", "file:***@h"),
        ("v4l2:/dev/video0?fps=3", "v4l2:/dev/video0?fps=3"),
    ],
)
def test_a_url_keeps_what_is_not_secret(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://h:554/user=admin&password={}&channel=1&stream=0.sdp?",
        "rtsp://h:554/user=admin_password={}_channel=1_stream=0.sdp?real_stream",
        "rtsp://h/?USER=a&PWD={}&x=1",
        "http://h/videostream.cgi?loginuse=a&loginpas={}",
        "http://h/cgi-bin/api.cgi?cmd=Snap&user=a&password={}",
        "http://h/img.cgi?u=a&p={}",
        "http://h/live.m3u8?%70assword={}",
        "http://h/live.m3u8?x=1;PassWord={}",
        "http://h/v?access_token={}",
        "http://h/v?streamKey={}#x",
        "http://h/a?X-Amz-Signature={}&X-Amz-Credential={}",
        "rtsp://h/0/admin:{}/av0",
        "http://h/user/admin/password/{}/1",
        "http://h/token/{}/live.m3u8",
        "http://h/p?url=rtsp%3A%2F%2Fann%3A{}%40cam%2F1&y=2",
        "http://h/?passwd={}/more",
        "http://h/v?user={}",
        "http://h/v?user[password]={}",
        "http://h/api/pw/{}/x",
        "http://h/v/auth/token/{}/x",
        "http://h/v?hdnts=exp=1~acl=/*~hmac={}",
        "http://h/v?st={}&e=1&sign=1",
        'http://h/v?json={"a":1,"password": "{}"}',
        "http://h/v?json=%7B%22secret%22%3A%22{}%22%7D",
        "http://{}@h/",
        "http://ann:{}@h/",
    ],
)
def test_wherever_a_camera_puts_a_password_it_is_hidden(url: str) -> None:
    whole = url.replace("{}", CANARY)
    for shown in (redact_url(whole), redact_text(f"cannot open {whole}, says the camera"), redact_text(whole[8:])):
        assert CANARY not in shown or ("//" not in shown and "=" not in url)
    assert redact_url(whole).startswith(url[: url.index("//") + 2])


@pytest.mark.parametrize(
    "text",
    [
        "syncsvc: ready live=tcp://127.0.0.1:5555 control=ipc:///run/s http=http://127.0.0.1:8080",
        "http://h/axis-cgi/mjpg/video.cgi?resolution=640x480&fps=5&camera=1",
        "http://h/?action=stream",
        "rtsp://h/vod/mp4:sample.mp4",
        "http://[fe80::1]:80/a",
        "stream north: 1920x1080 i420, ring of 59 slots = ceil(30.00/s * 1.830 s) + 4",
        "user or password refused; key frames come every 2 s: token",
    ],
)
def test_what_is_no_password_is_shown(text: str) -> None:
    assert redact_text(text) == text


def test_common_words_are_hidden_in_place_and_looked_for_nowhere_else() -> None:
    assert redact_text("http://h/v?code=h264&x=1") == "http://h/v?code=***&x=1"
    assert secrets_in("http://h/v?code=h264&policy=all&hmac=abcd") == {"abcd"}


def test_the_passwords_of_parameters_are_known_by_value_and_names_of_users_are_not() -> None:
    url = "rtsp://h/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp?pwd=p%40ss/word&user=joe"
    assert {"tlJwpbo6", "p@ss/word", "p%40ss/word"} <= secrets_in(url)
    assert not {"admin", "joe", "1"} & secrets_in(url)
    assert secrets_in("http://h/auth/north/mp4:yard/a=b") == frozenset()


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
