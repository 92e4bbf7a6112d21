"""What a running service cannot change: a pure check of the configuration before and after."""

from pathlib import Path

from syncsvc.config.models import Config
from syncsvc.daemon.planning import is_patient
from syncsvc.errors import ConfigError


def refuse_unreloadable(path: Path, before: Config, after: Config) -> None:
    """Look for what needs a restart.

    Raises:
        ConfigError: sockets, pace, or the length of a group's windows would change.
    """
    problem = "cannot change while the service runs; restart it"
    for key in ("publish", "http", "security", "spool"):
        if getattr(after, key) != getattr(before, key):
            raise ConfigError(str(path), problem, key=key)
    for name in after.groups.keys() & before.groups.keys():
        if after.groups[name].window_ms != before.groups[name].window_ms:
            raise ConfigError(str(path), f"{problem}, or give the group another name", key=f"groups.{name}.window_ms")
    if is_patient(after) != is_patient(before):
        raise ConfigError(str(path), problem, key="streams: pace")
