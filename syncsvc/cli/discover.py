"""``syncsvc discover``: the ONVIF cameras of the network and, with a user and a password, their streams."""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from syncsvc.cli.numbers import FiniteRange
from syncsvc.errors import UsageError
from syncsvc.observe.logs import configure, one_line, redact, said

if TYPE_CHECKING:
    from syncsvc.onvif.asking import AskedCamera

EXIT_NONE = 1
_PORT = 3702
_CLOCK_OFF_S = 2.0
"""Less is the way there and back, and the whole seconds of the answer."""


@click.command(epilog="Example: syncsvc discover --user admin")
@click.option("--user", metavar="NAME", help="Of the cameras; then the URLs of their streams are asked for.")
@click.option(
    "--password",
    metavar="TEXT",
    envvar="SYNCSVC_ONVIF_PASSWORD",
    help="Of that user. Others see it in the list of processes: better set SYNCSVC_ONVIF_PASSWORD, or be asked.",
)
@click.option(
    "--address",
    "addresses",
    metavar="HOST[:PORT]",
    multiple=True,
    help="Ask this host instead of everybody, where multicast does not reach. May be repeated.",
)
@click.option(
    "--seconds",
    metavar="N",
    type=FiniteRange(min=0, min_open=True, max=600),
    default=3.0,
    show_default=True,
    help="How long to wait for answers.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per camera and line.")
def discover(user: str | None, password: str | None, addresses: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Find the ONVIF cameras of this network (WS-Discovery, on every interface), and where their streams are.

    User and password are never sent in clear, and never printed; each camera that answers gets a digest of them. Exit
    code 0 when there is a camera, 1 when there is none.
    """
    from syncsvc.onvif.asking import ask_all
    from syncsvc.onvif.finding import find
    from syncsvc.onvif.soap import Login

    if user is not None and password is None:
        if not sys.stdin.isatty():
            raise UsageError("--user needs a password: set SYNCSVC_ONVIF_PASSWORD, or say --password")
        password = click.prompt("password", hide_input=True, err=True)
    configure("discover", [password] if password else ())
    login = Login(user, password or "") if user is not None else None
    found = find(seconds, [_host_and_port(one) for one in addresses])
    count = 0
    for camera in ask_all(found, login):
        count += 1
        print(json.dumps(as_object(camera)) if as_json else "\n".join(lines(camera)), flush=True)
    if not count:
        where = "from " + ", ".join(addresses) if addresses else "on " + _interfaces()
        click.echo(said(f"no ONVIF camera answered {where} within {seconds:g} s", "error"), err=True)
        raise SystemExit(EXIT_NONE)
    if login is None and not as_json:
        click.echo("with --user NAME the URLs of their streams are asked for", err=True)


def _interfaces() -> str:
    from syncsvc.onvif.finding import interfaces

    return ", ".join(f"{name} ({address})" for name, address in interfaces()) or "any interface: none has an address"


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(_PORT)
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(f"--address {text!r}: allowed are HOST and HOST:PORT")
    return host, int(port)


def lines(camera: "AskedCamera") -> Iterator[str]:
    """A camera for eyes: one line of itself, and one for each of its streams."""
    found = camera.found
    words = [found.address, " ".join(dict.fromkeys(filter(None, (found.name, found.hardware)))), found.url]
    if camera.clock_off_s is not None and abs(camera.clock_off_s) > _CLOCK_OFF_S:
        where = "ahead" if camera.clock_off_s > 0 else "behind"
        words.append(f"its clock is {abs(camera.clock_off_s):.0f} s {where}: set its NTP server")
    if camera.problem:
        words.append(f"problem: {camera.problem}")
    yield _shown("  ".join(filter(None, words)))
    for profile in camera.profiles:
        size = f"{profile.width}x{profile.height}" if profile.width else ""
        rate = f"{profile.fps:g}/s" if profile.fps else ""
        said = " ".join(filter(None, (profile.encoding, size, rate, profile.name)))
        yield _shown(f"  {profile.url}  {said}".rstrip())


def as_object(camera: "AskedCamera") -> dict[str, Any]:
    """A camera for programs."""
    found = camera.found
    return {
        "address": found.address,
        "name": one_line(found.name),
        "hardware": one_line(found.hardware),
        "device_url": found.url,
        "clock_off_s": camera.clock_off_s,
        "problem": _shown(camera.problem),
        "streams": [
            {
                "name": one_line(one.name),
                "url": _shown(one.url),
                "encoding": one_line(one.encoding),
                "width": one.width,
                "height": one.height,
                "fps": one.fps,
            }
            for one in camera.profiles
        ],
    }


def _shown(text: str) -> str:
    return one_line(redact(text))
