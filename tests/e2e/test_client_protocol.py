"""The client that docs/protocol.md prints, run as printed: in a process that does not import syncsvc."""

import re
import subprocess
import sys
from pathlib import Path

from syncsvc import wire
from tests.batches import VECTORS, batch
from tests.e2e.livesocket import LiveSocket

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
MAIN = """
import sys

follow(sys.argv[1], "lobby")
assert not [name for name in sys.modules if name.startswith("syncsvc")]
"""


def test_the_printed_client_works(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    client = tmp_path / "client.py"
    client.write_text(source + MAIN)
    with (
        LiveSocket() as live,
        subprocess.Popen(
            [sys.executable, "-W", "error", str(client), live.endpoint],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        ) as process,
    ):
        try:
            live.wait_for(b"batch/lobby")
            live.send(batch(0, group="lobby2"), VECTORS["two-cameras"](), VECTORS["size-changes"]())
            live.wait_for(b"status")
            live.send(batch(1), batch(2, epoch=batch().epoch + 1, missing={"north": "draining"}))
            live.send_status("running")
            live.send_status("ended")
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.splitlines() == [
        "lobby #0: spread 2.0 ms, bytes {'north': 27, 'south': 12}",
        "lobby #0: spread 13.0 ms, bytes {'north': 27, 'south': 12}",
        "missed 1 to 6",
        "lobby #7: spread 1.0 ms, bytes {'north': 12, 'south': 12}",
        "lobby #7: spread 2.0 ms, bytes {'north': 6, 'south': 12, 'east': 1}",
        "missed 0 to 1",
        "lobby #2: missing {'north': 'draining'}",
    ]


def test_the_printed_question_is_the_one_that_is_asked() -> None:
    (printed,) = re.findall(r"`((?:[0-9a-f]{2} ){14}[0-9a-f]{2})`", TEXT)
    assert wire.encode_control({"v": 1, "type": "hello"}).hex(" ") == printed


def test_every_vector_is_described() -> None:
    assert [name for name in VECTORS if f"| `{name}` |" not in TEXT] == []
