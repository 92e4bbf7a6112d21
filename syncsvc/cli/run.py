"""``syncsvc run``: the daemon, in the foreground."""

from pathlib import Path

import click

from syncsvc.cli.log_options import log_options
from syncsvc.observe.logs import say


@click.command(epilog="Example: syncsvc run configs/two-cameras.yaml")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--log-observations",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Append what was seen and decided of every frame to FILE, without pixels: for `syncsvc align`.",
)
@log_options
def run(config: Path, log_observations: Path | None) -> None:
    """Run the service that CONFIG describes, until SIGTERM or SIGINT, or until every recording ended.

    Prints a line with ``ready`` on stderr when all sockets are bound. SIGHUP reads CONFIG again. Exit code 0 after a
    drain, 78 when the configuration is refused.
    """
    from syncsvc.daemon.daemon import Daemon

    daemon = Daemon(config, announce=say, log_observations=log_observations)
    raise SystemExit(daemon.run())
