"""The daemon as the doctor runs it: the user's streams and groups, on endpoints of its own beside a running service.

``python -m syncsvc.doctor.own_daemon CONFIG FOLDER WAIT_FOR``: the log of observations and, at the end, what the daemon
knows of its streams go into FOLDER. The configuration is read where it lies, so no password is ever written.
"""

import sys
from pathlib import Path

import click
import msgspec

from syncsvc.config.loader import load
from syncsvc.config.models import Config
from syncsvc.config.serving import Publish
from syncsvc.daemon.daemon import Daemon
from syncsvc.errors import SyncsvcError
from syncsvc.observe.logs import one_line, redact

OBSERVATIONS, STATUS, LIVE, CONTROL = "observations.jsonl", "status.json", "live", "control"
READY = "syncsvc: ready"
EX_REFUSED = 78


def with_private_endpoints(config: Config, folder: Path, wait_for: int) -> Config:
    """The same configuration, published where nobody else looks, and without HTTP."""
    publish = Publish(live=f"ipc://{folder / LIVE}", control=f"ipc://{folder / CONTROL}", wait_for=wait_for)
    return config.model_copy(update={"publish": publish, "http": None})


def main(path: Path, folder: Path, wait_for: int) -> int:
    """Run until SIGTERM, or until every recording ended; the exit code."""
    try:
        daemon = Daemon(
            path,
            announce=lambda line: click.echo(f"syncsvc: {line}", err=True),
            log_observations=folder / OBSERVATIONS,
            read=lambda path: with_private_endpoints(load(path), folder, wait_for),
        )
        try:
            return daemon.run()
        finally:
            (folder / STATUS).write_bytes(msgspec.json.encode(daemon.status()))
    except SyncsvcError as error:
        click.echo(one_line(redact(str(error))), err=True)
        return EX_REFUSED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
