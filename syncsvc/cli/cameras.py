"""``syncsvc cameras``: virtual RTSP cameras for users without cameras, and for trying faults by hand."""

import ipaddress
import json
from collections.abc import Mapping
from typing import Final

import click

from syncsvc.cameras import load_specs, serve
from syncsvc.cli.numbers import FiniteRange
from syncsvc.cli.stopping import stop_on_signals
from syncsvc.errors import UsageError

_HELP: Final = """Virtual RTSP cameras with known true times and injectable faults.

SPEC is a number of cameras, or one word NAME[:KEY=VALUE,...] per camera, or a YAML or JSON file with a map of
names to keys. Each picture carries its true capture time as a barcode. Ends with SIGINT or SIGTERM.

\b
Keys: fps width height gop crf bitrate noise phase_ms seed
  clocks: clock_offset_ms drift_ppm rtp_drift_ppm rtp_base
  way:    latency_ms jitter_ms jitter_max_ms stall_every_s stall_s frozen drop_pct loss_pct
          udp_only
  RTCP:   sr sr_interval_s sr_first_s sr_immediate sr_mode (ok zero uptime sendtime)
  life:   start_delay_s refuse_s close_after_s events

\b
Examples:
  syncsvc cameras 3
  syncsvc cameras north:fps=30,latency_ms=60 south:fps=25,clock_offset_ms=120 --port 0 --json
  syncsvc cameras farm.yaml        where farm.yaml has, say
    north: {fps: 30, drift_ppm: 50}
    south: {events: [{at_s: 10, set: {clock_offset_ms: 500}}]}
"""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _print_ready(port: int, urls: Mapping[str, str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"port": port, "urls": dict(urls)}))
    else:
        for url in urls.values():
            click.echo(url)


@click.command(no_args_is_help=True, help=_HELP)
@click.argument("spec", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8554, show_default=True, help="0 takes a free one.")
@click.option("--seconds", type=FiniteRange(min=0, min_open=True), help="End after so long; default: never.")
@click.option("--json", "as_json", is_flag=True, help='Print one object {"port", "urls"} instead of one URL per line.')
@click.option("--allow-remote", is_flag=True, help="Needed for a --host off loopback: the cameras have no password.")
def cameras(
    spec: tuple[str, ...], host: str, port: int, seconds: float | None, as_json: bool, allow_remote: bool
) -> None:
    """Serve until a signal comes."""
    if not allow_remote and not _is_loopback(host):
        raise UsageError(f"--host {host}: not loopback; these cameras have no password: say --allow-remote to mean it")
    specs = load_specs(spec)
    with stop_on_signals() as stop:
        serve(
            specs,
            host=host,
            port=port,
            until=stop,
            seconds=seconds,
            on_ready=lambda bound, urls: _print_ready(bound, urls, as_json),
        )
