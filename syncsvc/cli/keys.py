"""The commands that make keys, for a service and for its clients, and take clients' back."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Final

import click

from syncsvc.certificates import CLIENT, SERVER, certificate, read_public, write_secretly
from syncsvc.config.models import NAME_PATTERN
from syncsvc.errors import UsageError
from syncsvc.observe.logs import say

CLIENTS: Final = "clients"
_FOLDER: Final = click.Path(path_type=Path)


@click.group(epilog="Example: syncsvc keys new /etc/syncsvc/keys && syncsvc keys client /etc/syncsvc/keys alice")
def keys() -> None:
    """Keys (CURVE) for a service that is reached from other hosts, in pyzmq's certificate files."""


@keys.command(epilog="Example: syncsvc keys new /etc/syncsvc/keys")
@click.argument("folder", metavar="DIR", type=_FOLDER)
def new(folder: Path) -> None:
    """Make a service's keys: server.key, server.key_secret (mode 0600), and the folder clients, in DIR.

    The configuration names them: `security: {keys: DIR, clients: DIR/clients}`.
    """
    secret = folder / f"{SERVER}.key_secret"
    if secret.exists():
        raise UsageError(f"{secret}: is there already; a service that gets other keys knows no client any more")
    _make_folder(folder)
    _make_folder(folder / CLIENTS)
    public = _make(folder, SERVER)
    _write(folder / f"{SERVER}.key", certificate(public), 0o644)
    click.echo(f"security: {{keys: {folder}, clients: {folder / CLIENTS}}}")


@keys.command(epilog="Example: syncsvc keys client /etc/syncsvc/keys alice | ssh alice@edge sh")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.argument("name")
def client(folder: Path, name: str) -> None:
    """Make a client's keys, let it in, and print what is to be pasted into a shell where it runs.

    DIR is that of `syncsvc keys new`. The client's public key goes to DIR/clients/NAME.key; its own folder, with
    client.key_secret and server.key, is DIR/NAME, for a client on this host. What is printed makes the folder
    syncsvc-NAME elsewhere; then remove DIR/NAME. A running service takes the client in on SIGHUP.
    """
    _check_name(name)
    server = read_public(folder / f"{SERVER}.key")
    listed, own = folder / CLIENTS / f"{name}.key", folder / name
    if listed.exists() or own.exists():
        raise UsageError(f"{listed if listed.exists() else own}: is there already; take another name, or revoke it")
    _make_folder(own)
    _make_folder(folder / CLIENTS)
    public = _make(own, CLIENT)
    _write(own / f"{SERVER}.key", certificate(server), 0o644)
    _write(listed, certificate(public), 0o644)
    click.echo(_paste(name, {path.name: path.read_text("utf-8") for path in sorted(own.iterdir())}))
    say(f"{name} is on the list: `kill -HUP` the service, and paste the lines above into a shell where {name} runs")


@keys.command(epilog="Example: syncsvc keys revoke /etc/syncsvc/keys alice && pkill -HUP -o syncsvc")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.argument("name")
def revoke(folder: Path, name: str) -> None:
    """Take a client off the list: on SIGHUP the service cuts it off, and lets it in no more.

    DIR is that of `syncsvc keys new`; DIR/clients/NAME.key and DIR/NAME are removed.
    """
    _check_name(name)
    listed = folder / CLIENTS / f"{name}.key"
    if not listed.is_file():
        known = sorted(path.stem for path in (folder / CLIENTS).glob("*.key"))
        raise UsageError(f"{listed}: no such client; there {'is' if len(known) == 1 else 'are'}: {_some(known)}")
    listed.unlink()
    shutil.rmtree(folder / name, ignore_errors=True)
    say(f"{name} is off the list: `kill -HUP` the service, which then cuts it off")


def _make(folder: Path, name: str) -> bytes:
    """A secret certificate; its public key."""
    import zmq

    public, secret = zmq.curve_keypair()
    _write(folder / f"{name}.key_secret", certificate(public, secret), 0o600)
    return public


def _write(path: Path, text: str, mode: int) -> None:
    try:
        write_secretly(path, text, mode)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def _make_folder(path: Path) -> None:
    """Make a folder for us alone; one that is there stays as it is."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made: {error.strerror}") from error


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name) or name in (CLIENTS, SERVER, CLIENT):
        raise UsageError(f"NAME {name!r}: allowed are 1 to 64 characters from a-z 0-9 _ -, but clients, server, client")


def _paste(name: str, files: dict[str, str]) -> str:
    folder = shlex.quote(f"syncsvc-{name}")
    lines = [f"(umask 077 && mkdir -p {folder} && cd {folder} || exit"]
    for file, text in files.items():
        lines += [f"cat > {file} <<'END'", text.rstrip("\n"), "END"]
    return "\n".join([*lines, 'echo "export SYNCSVC_KEYS=$PWD")'])


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"
