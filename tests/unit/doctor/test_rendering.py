"""The report: tables that fit, keys that stay, a snippet that a configuration takes."""

import json
import sys
from pathlib import Path

import pytest
from msgspec import structs

from syncsvc.config.loader import loads
from syncsvc.doctor import plot
from syncsvc.doctor import rendering as report
from syncsvc.doctor.content import Comparison
from syncsvc.doctor.diagnosis import Diagnosis, diagnose
from syncsvc.doctor.observed import ObservedRun
from syncsvc.errors import UsageError
from tests.project import texts
from tests.statuses import STREAM
from tests.unit.doctor.logs import camera, run_of


@pytest.fixture(scope="module")
def run() -> ObservedRun:
    return run_of(
        camera("north", latency_ms=60.0, phase_ms=9.0),
        camera("gate", fps=30.0, ntp_offset_ms=10_000.0),
        camera("yard", sr="none"),
        clocks={"yard": "model", "gate": "model"},
    )


@pytest.fixture(scope="module")
def diagnosis(run: ObservedRun) -> Diagnosis:
    seen = Comparison("north", "yard", 70.0, 41.0, 0.9, 3.0, (40.0, 42.0))
    unlike = Comparison("north", "gate", 70.0, 900.0, 0.2, 1.1, (1.0, 2000.0), "they have too little in common")
    return diagnose(run, {"gate": structs.replace(STREAM, declared_fps=25.0, problem="")}, (seen, unlike))


def printed(diagnosis: Diagnosis, capsys: pytest.CaptureFixture[str]) -> str:
    report.show(diagnosis)
    return capsys.readouterr().out


def test_the_tables_fit_a_terminal_and_hold_every_stream_and_group(
    diagnosis: Diagnosis, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(diagnosis, capsys)
    clocks, _, rest = text.partition("\nframes\n")
    assert all(len(line.rstrip()) <= 104 for line in text.splitlines() if "  " in line and "(" not in line)
    for name in ("north", "gate", "yard"):
        assert f"  {name} " in clocks
        assert f"  {name} " in rest
    assert "declares 25 frames/s and delivers 30.00" in text
    assert "its clock is 9.97 s ahead, at least: set its NTP server" in text
    assert "north, gate: nothing suggested: they have too little in common" in text


def test_the_snippet_is_yaml_that_a_configuration_takes(diagnosis: Diagnosis) -> None:
    lines = list(report.snippet(diagnosis))
    streams = {"north": "60", "gate": None, "yard": "41"}
    text = "\n".join(lines)
    for name in streams:
        url = f"    url: rtsp://camera/{name}\n"
        text = (
            text.replace(f"  {name}:\n", f"  {name}:\n{url}")
            if f"  {name}:" in text
            else text.replace("streams:\n", f"streams:\n  {name}:\n{url}")
        )
    config = loads(text.replace("  all:\n", "  all:\n    streams: [north, gate, yard]\n"), "snippet")
    assert config.streams["north"].latency_ms == pytest.approx(60, abs=0.5)
    assert config.streams["yard"].latency_ms == 41
    assert config.streams["gate"].latency_ms == 0
    advice = diagnosis.groups["all"]
    assert config.groups["all"].max_skew_ms == advice.max_skew_ms
    assert config.groups["all"].max_latency_ms == advice.max_latency_ms


def test_what_was_watched_too_briefly_for_a_bound_stands_beside_it() -> None:
    brief = report.snippet(diagnose(run_of(camera("one"), camera("two", phase_ms=13.0), seconds=6.0)))
    bounds = [line.partition("  # ") for line in brief if "max_" in line]
    assert [line.partition(":")[0].strip() for line, _, _ in bounds] == ["max_skew_ms", "max_latency_ms"]
    assert all(why.startswith("a guess from 6.0 s, it needs 10") for _, _, why in bounds), bounds
    assert bounds[0][2].endswith("up to 25")
    long = report.snippet(diagnose(run_of(camera("one"), camera("two", phase_ms=13.0), seconds=12.0)))
    assert not any("guess" in line for line in long)


def test_nothing_to_propose_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(diagnose(run_of(camera("one"), camera("two"), seconds=0.0)), capsys)
    assert "# nothing to propose" in text
    assert "watched for 0 s: fps needs 3 s, ntp needs 10 s" in text
    assert "content needs" not in text


def test_the_object_is_json_with_the_keys_of_the_document(diagnosis: Diagnosis) -> None:
    found = json.loads(json.dumps(report.as_object(diagnosis)))
    text = texts()["docs/doctor.md"]
    for part in (found, found["streams"]["north"], found["groups"]["all"], found["content"][0]):
        for key in part.keys() - {"north", "gate", "yard", "all"}:
            assert f"`{key}`" in text, key
    assert found["streams"]["gate"]["ntp"]["verdict"] == "ahead"
    assert found["streams"]["north"]["latency_ms"] == pytest.approx(60, abs=0.5)
    assert found["content"][0]["accepted"] is True


def test_every_code_of_a_finding_is_in_the_document() -> None:
    import re

    codes = set(
        re.findall(
            r'"((?:ntp|pts|pauses|no|never)_[a-z_]+|doubtful|drift|fps|losses|reconnects|content)"',
            texts()["syncsvc/doctor/findings.py"],
        )
    )
    assert len(codes) > 15
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", texts()["docs/doctor.md"], re.MULTILINE))
    assert codes <= documented


def test_a_plot_without_its_library_is_refused_in_one_line(
    run: ObservedRun, diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"--plot needs matplotlib .*install syncsvc\[bench\]"):
        plot.save_plot(run, diagnosis, tmp_path / "x.png")


@pytest.mark.usefixtures("plotting")
def test_the_plot_is_drawn_where_its_library_is(run: ObservedRun, diagnosis: Diagnosis, tmp_path: Path) -> None:
    plot.save_plot(run, diagnosis, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="--plot"):
        plot.save_plot(run, diagnosis, tmp_path / "no" / "x.png")
