"""The frame of the command line: exit codes, one line per error, nothing imported that is not needed."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from syncsvc import __version__
from syncsvc.cli import COMMANDS, main
from syncsvc.errors import BindError, ConfigError, MemoryShortage, SourceUnavailable, SyncsvcError, UsageError
from tests.project import texts

GOOD = "streams:\n  a: {url: 'synthetic:'}\n  b: {url: 'rtsp://h/1'}\n  c: {url: 'rtsp://h/2'}\n"
GROUPS = "groups: {g: {streams: [a, b], reference: b}}\nhttp: null\n"


@pytest.fixture
def site(tmp_path: Path) -> str:
    file = tmp_path / "site.yaml"
    file.write_text(GOOD + GROUPS)
    return str(file)


def test_check_says_what_the_configuration_means(site: str) -> None:
    result = CliRunner().invoke(main, ["check", site])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.partition("memory ")[0].splitlines() == [
        f"{site}: valid",
        "streams",
        "  a  synthetic:  (i420, size as it comes)",
        "  b  rtsp://h/1  (tcp, else udp, i420, size as it comes)",
        "  c  rtsp://h/2  (tcp, else udp, i420, size as it comes)",
        "groups",
        "  g  a, b  (window 1000 ms, skew <= 40 ms, latency <= 500 ms, reference b)",
        "  in no group: c",
        "publish  live tcp://127.0.0.1:5555, control tcp://127.0.0.1:5556",
        "http     off",
    ]


def test_check_says_how_much_memory_each_stream_takes_and_all_together(site: str) -> None:
    lines = CliRunner().invoke(main, ["check", site]).stdout.partition("memory ")[2].splitlines()
    assert lines[1].startswith("  a  17 MiB = 50 frames of 0.33 MiB (640x360 at 25/s)")
    assert lines[2].startswith("  b  148 MiB = 50 frames of 2.97 MiB (assuming 1920x1080 at 25/s)")
    assert lines[4].startswith("  in sum 198 MiB, with subscribers in mode local up to 437 MiB; ")


def test_check_refuses_what_cannot_fit(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("streams: {a: {url: 'synthetic:?fps=1000&size=8192x8192'}}\n")
    result = CliRunner().invoke(main, ["check", str(tmp_path / "big.yaml")])
    assert result.exit_code == 78
    assert "the streams need " in result.stderr
    assert "are available" in result.stderr


def test_check_says_that_a_group_has_no_windows(tmp_path: Path) -> None:
    (tmp_path / "sets.yaml").write_text(GOOD + "groups: {g: {streams: [a, b], window_ms: null}}\n")
    lines = CliRunner().invoke(main, ["check", str(tmp_path / "sets.yaml")]).stdout.splitlines()
    assert "  g  a, b  (one batch per set, skew <= 40 ms, latency <= 500 ms, every stream drives in turn)" in lines


def test_check_says_how_many_streams_a_set_has_and_where_there_is_nothing_to_pair(tmp_path: Path) -> None:
    pairs = "g: {streams: [a, b, c], min_streams: 3, window_ms: 500}"
    groups = f"{{{pairs}, h: {{streams: [a]}}, i: {{streams: [b], window_ms: null}}}}"
    (tmp_path / "sets.yaml").write_text(GOOD + f"groups: {groups}\n")
    lines = CliRunner().invoke(main, ["check", str(tmp_path / "sets.yaml")]).stdout.splitlines()
    turns = "every stream drives in turn, sets of 3 or more"
    assert lines[lines.index("groups") + 1 :][:3] == [
        f"  g  a, b, c  (window 500 ms, skew <= 40 ms, latency <= 500 ms, {turns})",
        "  h  a  (window 1000 ms, latency <= 500 ms; one stream: there is nothing to pair)",
        "  i  b  (one batch per frame, latency <= 500 ms; one stream: there is nothing to pair)",
    ]


@pytest.mark.parametrize(
    ("publish", "line"),
    [
        ("{}", "8 batches, 8 s, of 1 MiB each: they fit in 512 MiB"),
        ("{history: 100, history_mb: 64}", "100 batches, 100 s, of 1 MiB each: 66.6 s fit (66 batches) in 64 MiB"),
        ("{history_mb: 1, history: 1}", "1 batches, 1 s, of 1 MiB each: they fit in 1 MiB"),
        ("{history: 0}", "history  off: mode lossless is refused"),
    ],
)
def test_check_says_how_many_seconds_of_history_fit(publish: str, line: str, tmp_path: Path) -> None:
    streams = "streams: {a: {url: 'synthetic:?fps=10&size=360x280', pixels: gray8}}\n"
    (tmp_path / "history.yaml").write_text(f"{streams}publish: {publish}\n")
    lines = CliRunner().invoke(main, ["check", str(tmp_path / "history.yaml")]).stdout.splitlines()
    assert any(found.endswith(line) for found in lines), lines


def test_check_says_where_not_one_batch_fits(tmp_path: Path) -> None:
    streams = "streams: {a: {url: 'synthetic:?fps=25&size=1920x1080'}}\n"
    (tmp_path / "history.yaml").write_text(f"{streams}publish: {{history_mb: 64}}\n")
    assert "raise history_mb" in CliRunner().invoke(main, ["check", str(tmp_path / "history.yaml")]).stdout


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("a.yaml", "bad", line=3, key="streams"), 78, "a.yaml:3: streams: bad"),
        (BindError("tcp://127.0.0.1:5555", "in use"), 78, "tcp://127.0.0.1:5555: in use"),
        (MemoryShortage("needs 3 GB, has 2"), 78, "needs 3 GB, has 2"),
        (UsageError("no such benchmark"), 2, "no such benchmark"),
        (SourceUnavailable("a", "rtsp://u:pw@h: refused\n"), 1, "source 'a': rtsp://***@h: refused\\n"),
        (SyncsvcError("broken"), 1, "broken"),
        (click.BadParameter("not a number"), 2, "Invalid value: not a number (see `syncsvc check --help`)"),
        (click.ClickException("odd"), 1, "odd"),
    ],
)
def test_every_expected_error_is_one_line_and_a_code(
    error: Exception, code: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = CliRunner().invoke(_failing(error, monkeypatch), ["check"])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"syncsvc: {line}\n")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (click.Abort(), 130)])
def test_an_interrupt_is_quiet(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(_failing(error, monkeypatch), ["check"])
    assert (result.exit_code, result.output.strip()) == (code, "")


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(_failing(ZeroDivisionError(), monkeypatch), ["check"])
    assert isinstance(result.exception, ZeroDivisionError)


def _failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> click.Group:
    @click.command()
    def check() -> None:
        raise error

    monkeypatch.setattr("syncsvc.cli.check.check", check)
    return main


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "which command? One of run, check, tail"),
        (["chekc"], "No such command 'chekc'"),
        (["check"], "Missing argument 'CONFIG'. (see `syncsvc check --help`)"),
        (["check", "--fast", "x"], "No such option"),
        (["check", "x", "y"], "unexpected extra argument"),
        (["--fast"], "No such option"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(words: list[str], line: str) -> None:
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("syncsvc: ")
    assert line in result.stderr


def test_version_and_help() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout == f"syncsvc {__version__}\n"
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert f"  {name}" in result.stdout
        assert entry.summary in result.stdout
    assert "Example:" in result.stdout


@pytest.mark.parametrize(
    ("words", "completion"), [("syncsvc sta", "plain,status"), ("syncsvc run --log-f", "plain,--log-format")]
)
def test_shells_complete_commands_and_options(words: str, completion: str) -> None:
    ask = {"_SYNCSVC_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "from syncsvc.cli import main; main(prog_name='syncsvc')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **ask}
    )
    assert (done.stdout.splitlines(), done.stderr) == ([completion], "")


def test_the_readme_says_how_shells_learn_it() -> None:
    assert 'eval "$(_SYNCSVC_COMPLETE=bash_source syncsvc)"' in texts()["README.md"]


@pytest.mark.parametrize("name", ["check", "schema"])
def test_help_of_a_command_has_an_example(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert f"Example: syncsvc {name}" in result.stdout


def run(code: str, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *words] if code else [sys.executable, "-m", "syncsvc", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_help_and_check_load_no_engine(site: str) -> None:
    code = (
        "import sys\nfrom syncsvc.cli import main\n"
        "try: main(sys.argv[1:], prog_name='syncsvc')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print('LOADED', sorted({'av', 'cv2', 'zmq', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))\n"
    )
    assert run(code, "--help").stdout.splitlines()[-1] == "LOADED []"
    assert run(code, "check", site).stdout.splitlines()[-1] == "LOADED ['pydantic']"


def test_a_reader_that_left_is_no_error_worth_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "syncsvc", "schema"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")
