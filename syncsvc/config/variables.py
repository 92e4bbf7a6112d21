"""``${NAME}`` and ``${NAME:-default}``: put into scalars after parsing, so a value can never become structure."""

import re
from collections.abc import Callable, Mapping
from typing import Final

_VARIABLE: Final = re.compile(r"\$\{([^}]*)(\}?)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ALLOWED: Final = "${NAME} or ${NAME:-default}"
_SECRET_NAME: Final = re.compile(r"pass|pwd|secret|token|key|auth|credential", re.IGNORECASE)


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
        if value and _SECRET_NAME.search(name):
            secrets.add(value)
        return value or default

    return lambda text: _VARIABLE.sub(value_of, text)
