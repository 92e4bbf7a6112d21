"""The programs in examples/ do what they say, beside a real service, and are short enough to be read whole."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tests.e2e.harness import Service
from tests.project import ROOT

EXAMPLES = ROOT / "examples"
LINES = 40
PICTURE = "size=320x180"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    streams = {name: {"url": f"synthetic:?fps=25&{PICTURE}&seed={seed}"} for seed, name in enumerate(("left", "right"))}
    with Service(tmp_path_factory.mktemp("examples"), streams) as service:
        yield service.live
        assert service.stop() == 0


def run(*words: str, folder: Path = ROOT, **environment: str) -> str:
    """What a program prints that has to end well, with this project as what it imports."""
    mine = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])} | environment
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd=folder, env=mine)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.rglob("*.*py*")) + sorted(EXAMPLES.rglob("*.mjs")), ids=lambda p: p.name
)
def test_an_example_is_read_at_a_glance(path: Path) -> None:
    lines = path.read_text().splitlines()
    if path.suffix == ".ipynb":
        lines = [line for cell in json.loads(path.read_text())["cells"] for line in cell["source"]]
    assert len(lines) <= LINES


def test_tensors_over_the_services_memory_are_its_pictures(live: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    lines = run(sys.executable, str(EXAMPLES / "torch_dataset.py"), live).splitlines()
    assert len(lines) == 10
    assert all("'left': ((270, 320), " in line and "'right': ((270, 320), " in line for line in lines)


def test_what_moves_is_framed_in_pictures_on_disk(live: str, tmp_path: Path) -> None:
    run(sys.executable, str(EXAMPLES / "annotate.py"), live, str(tmp_path))
    pictures = [cv2.imread(str(path)) for path in tmp_path.iterdir()]
    assert {path.name.partition("_")[0] for path in tmp_path.iterdir()} == {"left", "right"}
    assert {picture.shape for picture in pictures} == {(180, 320, 3)}
    green = [((picture[..., 1] > 200) & (picture[..., 0] < 60) & (picture[..., 2] < 60)).any() for picture in pictures]
    assert any(green), "no box was drawn"


def test_two_things_are_followed_in_one_loop(live: str) -> None:
    lines = run(sys.executable, str(EXAMPLES / "asyncio_consumer.py"), live, "2").splitlines()
    assert len([line for line in lines if line.startswith("all ") and " sets, at most " in line]) == 2


def test_the_cells_of_the_notebook_run_from_top_to_bottom(live: str) -> None:
    cells = json.loads((EXAMPLES / "mosaic.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    shown = "print(pictures.shape[1:], [axis.get_title() for axis in axes[0]], figure.get_suptitle())"
    told = run(sys.executable, "-c", f"{code}\n{shown}", SYNCSVC_ENDPOINT=live, MPLBACKEND="agg")
    assert told.startswith("(2, 270, 480, 3) ['left")
    assert told.rstrip().endswith("ms apart")


def test_a_subscriber_in_javascript_knows_no_more_than_the_protocol(live: str, tmp_path: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = shutil.copytree(EXAMPLES / "node", tmp_path / "node")
    got = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--cache", str(tmp_path / "cache")],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    if got.returncode:
        pytest.skip("npm cannot fetch zeromq and @msgpack/msgpack")
    batches = [json.loads(line) for line in run("node", "subscriber.mjs", live, "all", "2", folder=folder).splitlines()]
    assert [batch["seq"] for batch in batches] == [batches[0]["seq"], batches[0]["seq"] + 1]
    assert all(batch["sent"].keys() == {"left", "right"} and not batch["missing"] for batch in batches[1:])
    assert all(one["frames"] > 0 and 0 < one["luma"] < 255 for one in batches[1]["sent"].values())
