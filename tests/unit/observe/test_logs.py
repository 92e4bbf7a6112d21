"""Log lines stay lines and show no secret."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.observe import logs
from syncsvc.observe.logs import Redactor, configure, redact

UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
PASSWORD = "p@ss/w ö\"rd'%"


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What was written to stderr since the last call; the root logger is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    monkeypatch.setattr(logs, "_redactor", Redactor())
    monkeypatch.setattr(logging, "raiseExceptions", True)
    for name in (logs.LEVEL_VARIABLE, logs.FORMAT_VARIABLE):
        monkeypatch.setenv(name, "")
    yield lambda: capsys.readouterr().err
    root.handlers = handlers
    root.setLevel(level)


def test_a_record_is_one_plain_line(shown: Callable[[], str]) -> None:
    configure("capture north")
    logging.getLogger("x").warning("read %d\nlines\r\x1b[31m\u2028", 3)
    assert re.fullmatch(rf"{UTC} warning capture north: read 3\\nlines\\r\\x1b\[31m\\u2028\n", shown())


@pytest.mark.parametrize(
    ("message", "argument", "error"),
    [("%d batches", "hunter2", "TypeError"), ("%", "hunter2", "ValueError"), ("%(a)s", {"b": "hunter2"}, "KeyError")],
)
def test_a_record_that_cannot_be_written_is_told_without_what_is_in_it(
    shown: Callable[[], str], message: str, argument: object, error: str
) -> None:
    configure("daemon")
    logging.getLogger("x").warning(message, argument)
    assert re.fullmatch(rf"\S+ warning daemon: x, line \d+: a message that cannot be written \({error}\)\n", shown())


def test_the_level_is_info_unless_told(shown: Callable[[], str]) -> None:
    configure("daemon")
    logging.getLogger("x").debug("quiet")
    logging.getLogger("x").info("loud")
    assert re.fullmatch(r"\S+ info daemon: loud\n", shown())
    logs.choose("debug", "text")
    configure("daemon")
    logging.getLogger("x").debug("now heard")
    assert re.fullmatch(r"\S+ debug daemon: now heard\n", shown())


def test_lines_of_json_have_a_time_with_a_zone_and_no_secret(shown: Callable[[], str]) -> None:
    logs.choose("info", "json")
    configure("capture north", ["hunter2"])
    logging.getLogger("x").warning("two\nlines, hunter2, ö")
    line = shown()
    assert line.count("\n") == 1
    told = json.loads(line)
    assert (told["level"], told["process"], told["message"]) == ("warning", "capture north", "two\\nlines, ***, ö")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", told["time"])
    assert abs(datetime.fromisoformat(told["time"]).timestamp() - SYSTEM_CLOCK.utc_ns() / 1e9) < 60


def test_what_a_command_says_is_of_the_logs_format(shown: Callable[[], str]) -> None:
    assert logs.said("ready") == "syncsvc: ready"
    logs.choose("error", "json")
    assert json.loads(logs.said("refused\n", "error"))["message"] == "refused\\n"


def test_a_secret_shows_in_no_form(shown: Callable[[], str]) -> None:
    configure("daemon", [PASSWORD])
    log = logging.getLogger("x")
    log.error("cannot open rtsp://user:%s@h/1", quote(PASSWORD, safe=""))
    log.error("cannot open %r", {"password": PASSWORD})
    log.error(f"raw {PASSWORD} and lower {quote(PASSWORD, safe='').lower()}")  # noqa: G004
    text = shown()
    assert text.count("\n") == 3
    assert text.count("***") == 4
    assert not re.search(r"p@ss|p%40ss|w ö|%c3%b6|rd'%", text, re.IGNORECASE)


def test_a_traceback_is_one_line_without_secrets(shown: Callable[[], str]) -> None:
    configure("daemon", ["hunter2"])
    try:
        raise OSError("[rtsp @ 0x1] rtsp://me:hunter2@h/1 and hunter2 alone, http://other:unknown@h")
    except OSError:
        logging.getLogger("x").exception("failed")
    text = shown()
    assert text.count("\n") == 1
    assert "Traceback" in text
    assert "OSError: [rtsp @ 0x1] rtsp://***@h/1 and *** alone, http://***@h" in text


def test_configure_again_replaces_the_handler_and_keeps_the_secrets(shown: Callable[[], str]) -> None:
    configure("daemon", ["hunter2"])
    configure("daemon", ["hunter3"])
    logging.getLogger("x").info("hunter2 hunter3")
    assert re.fullmatch(r"\S+ info daemon: \*\*\* \*\*\*\n", shown())


def test_urls_are_redacted_without_any_configuration() -> None:
    assert redact("open rtsp://u:pw@h/1?token=abc failed") == "open rtsp://***@h/1?token=*** failed"


def test_very_short_secrets_do_not_garble_the_log() -> None:
    assert Redactor(["a", "ab", ""])("a cab, ab") == "a cab, ab"


@given(st.text(min_size=3), st.text(), st.text())
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    shown = Redactor([secret])(f"{before}{secret}{after}")
    if secret not in f"{before}***{after}" and "*" not in secret:
        assert secret not in shown


def test_what_nobody_catches_in_a_process_of_ours_is_a_line_without_secrets() -> None:
    program = """
import threading
from syncsvc.observe import logs
logs.configure_child("capture north", ["hunter2"])
def fail(): raise ValueError("bad\\nhunter2 at rtsp://u:pw@h/1")
thread = threading.Thread(target=fail); thread.start(); thread.join()
class Odd:
    def __del__(self): fail()
Odd()
fail()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    line = rf"{UTC} error capture north: failed: ValueError: bad\\n\*\*\* at rtsp://\*\*\*@h/1 \(<string>:5\)\n"
    assert re.fullmatch(f"({line}){{3}}", done.stderr), done.stderr
