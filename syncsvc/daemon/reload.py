"""What a running service cannot change: a pure check of the configuration before and after."""

import logging
from pathlib import Path

from syncsvc.certificates import read_guard
from syncsvc.config.models import Config
from syncsvc.daemon.planning import is_patient
from syncsvc.errors import ConfigError, SyncsvcError

log = logging.getLogger(__name__)


def kept(config: Config, error: SyncsvcError) -> Config:
    """What goes on where a new configuration is refused: the one before, but for the clients that are let in."""
    log.error("the configuration is kept as it was: %s", error)
    return with_present_clients(config)


def with_present_clients(config: Config) -> Config:
    """The same configuration with the clients that are let in by now: who was revoked goes, whatever else is wrong."""
    security = config.security
    if security is None or security.keys is None or security.clients is None:
        return config
    try:
        return config.with_guard(read_guard(security.keys, security.clients))
    except ConfigError as error:
        log.error("the list of clients is kept as it was: %s", error)
        return config


def _token(config: Config) -> str | None:
    return config.security.http_token if config.security else None


def refuse_unreloadable(path: Path, before: Config, after: Config) -> None:
    """Look for what needs a restart.

    Raises:
        ConfigError: sockets, pace, or the length of a group's windows would change.
    """
    problem = "cannot change while the service runs; restart it"
    for key in ("publish", "http", "security", "spool"):
        if getattr(after, key) != getattr(before, key):
            raise ConfigError(str(path), problem, key=key)
    if (after.guard is None) != (before.guard is None) or _token(after) != _token(before):
        raise ConfigError(str(path), problem, key="security")
    if after.guard is not None and before.guard is not None and after.guard.keys != before.guard.keys:
        raise ConfigError(str(path), f"the service's own keys {problem}", key="security.keys")
    for name in after.groups.keys() & before.groups.keys():
        if after.groups[name].window_ms != before.groups[name].window_ms:
            raise ConfigError(str(path), f"{problem}, or give the group another name", key=f"groups.{name}.window_ms")
    if is_patient(after) != is_patient(before):
        raise ConfigError(str(path), problem, key="streams: pace")
