"""What a spool holds after its process was killed at random moments."""

import subprocess
import sys

from tests.project import ROOT


def test_nothing_that_was_acknowledged_is_lost_when_its_writer_is_killed_at_any_moment() -> None:
    code = (
        "import pathlib, random, sys, tempfile\n"
        "from tests.killed_spools import kill_spools\n"
        "with tempfile.TemporaryDirectory() as place:\n"
        "    sys.exit('\\n'.join(kill_spools(pathlib.Path(place), 12, random.randrange(1 << 30))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
