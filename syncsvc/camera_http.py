"""What every HTTP client of cameras has to know of them: they sign their own certificates, and ask for Digest."""

import ssl
from urllib.request import (
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    Request,
    parse_http_list,
    parse_keqv_list,
)


def tls_context() -> ssl.SSLContext:
    """TLS that checks no certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def digest_answer(challenge: str, method: str, url: str, user: str, password: str) -> str | None:
    """The ``Authorization`` that answers a Digest challenge; None where it wants a kind that urllib does not have.

    Args:
        challenge: what stands behind ``Digest`` in ``WWW-Authenticate``.
        method: of the request.
        url: what is asked for, without user and password.
        user: who asks.
        password: never sent itself.

    Raises:
        ValueError: the challenge is none, or for an algorithm that urllib does not have.
    """
    passwords = HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, url, user, password)
    fields = parse_keqv_list(parse_http_list(challenge))
    answer = HTTPDigestAuthHandler(passwords).get_authorization(Request(url, method=method), fields)
    return f"Digest {answer}" if answer else None
