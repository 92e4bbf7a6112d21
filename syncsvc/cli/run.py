"""``syncsvc run``: the daemon, in the foreground."""

from pathlib import Path

import click


@click.command(epilog="Example: syncsvc run configs/two-cameras.yaml")
@click.argument("config", type=click.Path(path_type=Path))
def run(config: Path) -> None:
    """Run the service that CONFIG describes, until SIGTERM or SIGINT, or until every recording ended.

    Prints a line with ``ready`` on stderr when all sockets are bound. SIGHUP reads CONFIG again. Exit code 0 after a
    drain, 78 when the configuration is refused.
    """
    from syncsvc.service.daemon import Daemon

    raise SystemExit(Daemon(config, announce=lambda line: click.echo(f"syncsvc: {line}", err=True)).run())
