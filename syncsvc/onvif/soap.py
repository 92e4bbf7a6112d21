"""Questions as SOAP envelopes, with the log-in that ONVIF devices take, and what their answers and faults say.

Sources: SOAP 1.2; WS-Addressing 2004/08; OASIS Web Services Security UsernameToken Profile 1.0; ONVIF Core, 5.9.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape

from syncsvc.errors import LoginRefused, OnvifError
from syncsvc.onvif.elements import Element, parse

_ENVELOPE: Final = "http://www.w3.org/2003/05/soap-envelope"
_WSS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a camera."""

    user: str
    password: str = field(repr=False)


def envelope(body: str, header: str = "") -> bytes:
    """A question; ``body`` and ``header`` are XML of our own."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><e:Envelope xmlns:e="{_ENVELOPE}"><e:Header>{header}</e:Header>'
        f"<e:Body>{body}</e:Body></e:Envelope>"
    ).encode()


def username_token(login: Login, nonce: bytes, created: datetime) -> str:
    """The header that logs a user in, without the password in it.

    Args:
        login: who.
        nonce: never used before.
        created: UTC now, by the clock of the device that is asked: it refuses what is too old.
    """
    moment = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha1(nonce + moment.encode() + login.password.encode(), usedforsecurity=False).digest()
    return (
        f'<s:Security e:mustUnderstand="1" xmlns:s="{_WSS}-wssecurity-secext-1.0.xsd"'
        f' xmlns:u="{_WSS}-wssecurity-utility-1.0.xsd"><s:UsernameToken><s:Username>{escape(login.user)}</s:Username>'
        f'<s:Password Type="{_WSS}-username-token-profile-1.0#PasswordDigest">{_base64(digest)}</s:Password>'
        f'<s:Nonce EncodingType="{_WSS}-soap-message-security-1.0#Base64Binary">{_base64(nonce)}</s:Nonce>'
        f"<u:Created>{moment}</u:Created></s:UsernameToken></s:Security>"
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def body_of(answer: bytes) -> Element:
    """The body of an answer.

    Raises:
        OnvifError: it is none.
        LoginRefused: it says that user or password are wrong.
    """
    body = parse(answer).at("Envelope", "Body")
    if body is None:
        raise OnvifError("an answer is no SOAP envelope")
    fault = body.at("Fault")
    if fault is not None:
        codes = " ".join(value.text for value in fault.every("Value")) or fault.text_at("faultcode")
        reason = fault.text_at("Reason", "Text") or fault.text_at("faultstring") or codes
        if "NotAuthorized" in codes:
            raise LoginRefused("refuses the question without another user or password")
        raise OnvifError(f"refuses the question: {reason[:_LONGEST_REASON] or 'no reason given'}")
    return body
