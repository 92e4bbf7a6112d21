"""CURVE keys as files, in pyzmq's format: made for us alone, and refused where others can read them."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from syncsvc.errors import ConfigError

SERVER: Final = "server"
CLIENT: Final = "client"
_KEY_CHARACTERS: Final = 40
"""A key of 32 bytes in Z85."""
_MAKE: Final = "`syncsvc keys new DIR` makes a service's keys, `syncsvc keys client DIR NAME` those of a client"


class KeyPair(Struct, frozen=True):
    """A public key and its secret, 40 characters of Z85 each; what is printed of it shows none."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"KeyPair({self.public.decode()})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("public", self.public.decode())]


class Guard(Struct, frozen=True):
    """A service's own keys, and the clients that it lets in: the name of each by its public key."""

    keys: KeyPair
    clients: dict[bytes, str]

    def __repr__(self) -> str:
        return f"Guard({', '.join(sorted(self.clients.values()))})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("clients", sorted(self.clients.values()))]


class ClientKeys(Struct, frozen=True):
    """A client's own keys, and the public key of the service that it trusts; ``folder`` is where they were."""

    keys: KeyPair
    server: bytes
    folder: str


def read_guard(keys: str | os.PathLike[str], clients: str | os.PathLike[str]) -> Guard:
    """A service's keys, and its clients.

    Args:
        keys: the folder with ``server.key_secret``.
        clients: the folder with ``NAME.key`` of every client; ``server.key`` is none.

    Raises:
        ConfigError: a file is missing, is none of pyzmq's certificates, or holds a secret that others can read.
    """
    names: dict[bytes, str] = {}
    try:
        paths = sorted(Path(clients).iterdir())
    except OSError as error:
        raise ConfigError(str(clients), f"found no folder of clients ({error.strerror}); {_MAKE}") from None
    for path in paths:
        if path.suffix == ".key" and path.stem not in (SERVER, CLIENT):
            names[read_public(path)] = path.stem
    return Guard(read_pair(Path(keys, f"{SERVER}.key_secret")), names)


def read_client(folder: str | os.PathLike[str]) -> ClientKeys:
    """A client's folder: ``client.key_secret`` and ``server.key``.

    Raises:
        ConfigError: as of ``read_guard``.
    """
    pair = read_pair(Path(folder, f"{CLIENT}.key_secret"))
    return ClientKeys(pair, read_public(Path(folder, f"{SERVER}.key")), str(folder))


def read_pair(path: Path) -> KeyPair:
    """A secret certificate.

    Raises:
        ConfigError: it is missing, is none, or others can read it.
    """
    refuse_readable(path)
    public, secret = _read(path)
    if secret is None:
        raise ConfigError(str(path), f"found no `secret-key`; {_MAKE}")
    return KeyPair(public, secret)


def read_public(path: Path) -> bytes:
    """The public key of a certificate.

    Raises:
        ConfigError: it is missing, or is none.
    """
    return _read(path)[0]


def refuse_readable(path: Path, by: int = stat.S_IRWXG | stat.S_IRWXO) -> None:
    """Refuse a file with a secret that others can read.

    Args:
        path: the file.
        by: who may have no right to it, as bits of its mode: the group and all others.

    Raises:
        ConfigError: they can, or the file cannot be read by us.
    """
    with _reading(path):
        found = path.stat()
        if not os.access(path, os.R_OK):
            raise PermissionError(0, "not ours to read")
    if mode := stat.S_IMODE(found.st_mode) & by:
        who = "everybody" if mode & stat.S_IRWXO else "the group"
        allowed = 0o600 if by & stat.S_IRWXG else 0o640
        problem = f"found mode {stat.S_IMODE(found.st_mode):04o}: {who} on this host can read or change the secret"
        raise ConfigError(str(path), f"{problem}; allowed: {allowed:04o} (`chmod {allowed:o} {path}`)")


def _read(path: Path) -> tuple[bytes, bytes | None]:
    with _reading(path):
        lines = [line.strip() for line in path.read_bytes().splitlines()]
        public, secret = (
            next((line.partition(b"=")[2].strip(b" \t'\"") for line in lines if line.startswith(word)), None)
            for word in (b"public-key", b"secret-key")
        )
        if public is None:
            raise ValueError("public-key")
    for key in (public, secret):
        if key is not None and (len(key) != _KEY_CHARACTERS or not key.isascii()):
            raise ConfigError(str(path), f"found a key that is not {_KEY_CHARACTERS} characters of Z85; {_MAKE}")
    return public, secret


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = error.strerror if path.exists() and error.strerror else "no such file"
        raise ConfigError(str(path), f"found no readable certificate ({what}); {_MAKE}") from None
    except ValueError:
        raise ConfigError(str(path), f"found no `public-key`, so it is no certificate; {_MAKE}") from None


def certificate(public: bytes, secret: bytes | None = None) -> str:
    """The text of a certificate, as ``zmq.auth.load_certificate`` reads it."""
    kind = "Public" if secret is None else "**Secret**"
    lines = [f"#   ZeroMQ CURVE {kind} Certificate", "", "metadata", "curve", f'    public-key = "{public.decode()}"']
    if secret is not None:
        lines.append(f'    secret-key = "{secret.decode()}"')
    return "\n".join([*lines, ""])


def write_secretly(path: Path, text: str, mode: int = 0o600) -> None:
    """Make a file that others never could read, not even while it is made; one that is there is left alone.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
