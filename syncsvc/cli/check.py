"""The commands about the configuration file: is it right, and what may it hold."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncsvc.config.loader import load
from syncsvc.config.models import Config, FileStream, GroupConfig, RtspStream, StreamKeys
from syncsvc.config.schema import user_schema
from syncsvc.config.urls import redact_url
from syncsvc.observe.logs import one_line, redact

if TYPE_CHECKING:
    from syncsvc.capture.probe import Sight


@click.command(epilog="Example: syncsvc check --probe configs/two-cameras.yaml")
@click.argument("config")
@click.option("--probe", is_flag=True, help="Also open each stream once; exit 1 when one does not answer.")
def check(config: str, probe: bool) -> None:
    """Validate CONFIG and print what it means, and how much memory it takes.

    Exit code 0 when it is valid; 78, and one line that names the key, when it is not, or when its streams certainly
    exceed the memory that is there, or the files that a process may open.
    """
    from syncsvc.daemon.descriptors import raise_limit, refuse_too_many
    from syncsvc.daemon.history_room import history_lines
    from syncsvc.daemon.ring_memory import demands, memory_lines, refuse_what_cannot_fit
    from syncsvc.transport.memfd import available_bytes

    valid = load(config)
    refuse_too_many(Path(config), valid, raise_limit())
    click.echo("\n".join(summary(config, valid)))
    seen = _probe(valid) if probe else {}
    some, available = demands(valid, seen), available_bytes()
    click.echo("\n".join(memory_lines(some, available, was_probed=probe)))
    click.echo("\n".join(history_lines(valid, {one.name: one for one in some})))
    refuse_what_cannot_fit(some, available)
    if not all(sight.is_there for sight in seen.values()):
        click.get_current_context().exit(1)


@click.command(epilog="Example: syncsvc schema > syncsvc.schema.json")
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and other tools."""
    click.echo(json.dumps(user_schema(), indent=2))


def summary(name: str, config: Config) -> list[str]:
    """What a configuration means, in a few lines without passwords."""
    lines = [f"{one_line(name)}: valid", "streams"]
    width = max(map(len, (*config.streams, *config.groups)))
    lines += [f"  {stream:{width}}  {_stream_line(keys)}" for stream, keys in config.streams.items()]
    lines.append("groups")
    lines += [f"  {group:{width}}  {_group_line(keys)}" for group, keys in config.groups.items()]
    unused = [name for name in config.streams if not any(name in group.streams for group in config.groups.values())]
    if unused:
        lines.append(f"  in no group: {', '.join(unused)}")
    lines.append(f"publish  live {config.publish.live}, control {config.publish.control}")
    lines.append(f"http     {config.http.bind if config.http else 'off'}")
    return lines


def _stream_line(stream: StreamKeys) -> str:
    parts = [stream.pixels, f"{stream.size[0]}x{stream.size[1]}" if stream.size else "size as it comes"]
    if isinstance(stream, RtspStream):
        parts.insert(0, "tcp, else udp" if stream.transport == "auto" else stream.transport)
    if isinstance(stream, FileStream):
        parts.insert(0, stream.pace + (", looped" if stream.loop else ""))
    return f"{one_line(redact_url(stream.url))}  ({', '.join(parts)})"


def _group_line(group: GroupConfig) -> str:
    has_windows, is_alone = group.window_ms is not None, len(group.streams) == 1
    batches = f"window {group.window_ms} ms" if has_windows else f"one batch per {'frame' if is_alone else 'set'}"
    latency = f"latency <= {group.max_latency_ms:g} ms"
    if is_alone:
        return f"{group.streams[0]}  ({batches}, {latency}; one stream: there is nothing to pair)"
    driver = f"reference {group.reference}" if group.reference else "every stream drives in turn"
    least = f", sets of {group.min_streams} or more" if group.min_streams > 2 else ""
    return f"{', '.join(group.streams)}  ({batches}, skew <= {group.max_skew_ms:g} ms, {latency}, {driver}{least})"


def _probe(config: Config) -> "Mapping[str, Sight]":
    from syncsvc.capture.probe import probe_streams
    from syncsvc.daemon.planning import capture_spec

    specs = [capture_spec(name, stream, config) for name, stream in config.streams.items()]
    seen = {}
    for name, sight in probe_streams(specs, without=config.variables):
        click.echo(f"probe  {name}: {'ok' if sight.is_there else 'FAILED'}: {one_line(redact(sight.text))}")
        seen[name] = sight
    return seen
