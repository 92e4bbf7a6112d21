"""TLS for what we serve: a context from two files, and the names that the certificate is for."""

import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from syncsvc.errors import ConfigError


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later with a certificate of ours.

    Raises:
        ConfigError: a file is missing or none, they do not belong together, or the key has a password.
    """

    def no_password() -> NoReturn:
        raise ConfigError(str(key), "found a key with a password; allowed: one without (`openssl pkey -in FILE`)")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, no_password)
    except ssl.SSLError as error:
        why = "they do not belong together" if "MISMATCH" in str(error) else "one of them is none"
        raise ConfigError(str(cert), f"is no certificate in PEM with its key in {key}: {why}") from None
    except OSError as error:
        raise ConfigError(str(cert), f"cannot be read with its key in {key}: {error.strerror}") from None
    return context


def names_of(cert: Path, context: ssl.SSLContext) -> frozenset[str]:
    """The names of hosts that the certificate of a context is for; those with ``*`` are left out.

    Python reads certificates of peers alone: so we are one, for the time of a handshake in memory.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    told: Mapping[str, object] = {}
    with suppress(ssl.SSLError, OSError):  # one that is out of date is served as it is
        client.load_verify_locations(cert)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(to_client, to_server)
        theirs = context.wrap_bio(to_server, to_client, server_side=True)
        for side in (ours, theirs, ours, theirs):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        told = ours.getpeercert() or {}
    found = told.get("subjectAltName", ())
    names = found if isinstance(found, tuple) else ()
    return frozenset(str(value).lower() for kind, value in names if kind == "DNS" and "*" not in value)
