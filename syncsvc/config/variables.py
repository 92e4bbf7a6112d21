"""``${NAME}`` and ``${NAME:-default}``: put into scalars after parsing, so a value can never become structure.

Nor part of a URL other than the one where it stands: between ``//`` and ``@`` it is written as URLs want it, so a
password may have any characters, and none of them moves the host.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from syncsvc.config.urls import is_password_name

_VARIABLE: Final = re.compile(r"\$\{([^}]*)(\}?)")
_LOGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://((?:\$\{[^}]*\}|[^/?#$]|\$(?!\{))*)@")
_UNENCODED: Final = "!$&'()*+,;="
"""RFC 3986, 3.2.1: what may stand in a user or a password as it is."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ALLOWED: Final = "${NAME} or ${NAME:-default}"


def expander(environ: Mapping[str, str], secrets: set[str], names: set[str]) -> Callable[[str], str]:
    """A function that replaces the variables of one scalar.

    It raises ``ValueError`` for a variable that is unset without a default or not closed; the message never shows the
    scalar, which may be half a password. As in a shell, ``:-`` also replaces an empty value.

    Args:
        environ: where values come from.
        secrets: gets the value of every variable that is called like a secret.
        names: gets the name of every variable, set or not.
    """

    def value_of(match: re.Match[str]) -> str:
        inside, closed = match.groups()
        name, has_default, default = inside.partition(":-")
        if not closed or "${" in inside:
            raise ValueError(f"found a variable that is not closed, or one inside another; allowed: {_ALLOWED}")
        if not _NAME.fullmatch(name):
            raise ValueError(f"found a variable's name with other characters; allowed: {_ALLOWED}")
        names.add(name)
        value = environ.get(name)
        if value is None and not has_default:
            remedy = f"set it, or give a default: ${{{name}:-default}}"
            raise ValueError(f"found variable {name}, which is not set; allowed: {remedy}")
        if value and is_password_name(name):
            secrets.add(value)
        return value or default

    def encoded_value_of(match: re.Match[str]) -> str:
        return quote(value_of(match), _UNENCODED)

    def expand(text: str) -> str:
        login = _LOGIN.match(text)
        if login is None:
            return _VARIABLE.sub(value_of, text)
        before, who, after = text[: login.start(1)], login[1], text[login.end(1) :]
        whole = _VARIABLE.fullmatch(who)
        if whole is not None:  # a variable for both: its first colon separates them
            user, colon, password = value_of(whole).partition(":")
            who = quote(user, _UNENCODED) + colon + quote(password, _UNENCODED)
        else:
            who = _VARIABLE.sub(encoded_value_of, who)
        return before + who + _VARIABLE.sub(value_of, after)

    return expand
