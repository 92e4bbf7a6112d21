"""Which function is meant: one of ours by its short name, or ``package.module:function``, with its arguments fixed."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from syncsvc.errors import UsageError
from syncsvc.sinks.process import filters


class Target(NamedTuple):
    """A function to be called with a frame or a set.

    ``wants_previous``: it has a parameter ``previous``, and is given the frame (of the stream) or the set (of the
    group) before it there, None at first.
    """

    name: str
    function: Callable[..., Any]
    wants_previous: bool


def find_target(name: str, arguments: Mapping[str, Any]) -> Target:
    """The function of that name, with these arguments.

    Raises:
        UsageError: it cannot be imported, is none, or does not take them.
    """
    function = _function(name)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of C, and says nothing of its parameters
        return Target(name, partial(function, **arguments), False)
    wants_previous = "previous" in signature.parameters and "previous" not in arguments
    try:
        signature.bind(None, **arguments, **({"previous": None} if wants_previous else {}))
    except TypeError as error:
        raise UsageError(f"target {name}: it is called with one frame or set and what --arg says: {error}") from error
    return Target(name, partial(function, **arguments), wants_previous)


def _function(name: str) -> Callable[..., Any]:
    module, colon, path = name.partition(":")
    if not colon:
        if name not in filters.BUILT_IN:
            raise UsageError(f"target {name}: allowed are package.module:function and {', '.join(filters.BUILT_IN)}")
        built_in: Callable[..., Any] = getattr(filters, name)
        return built_in
    if "" not in sys.path and "." not in sys.path:
        sys.path.insert(0, "")  # a file in the current folder, as with `python -m`
    try:
        found: Any = attrgetter(path)(import_module(module))
    except Exception as error:  # whatever the user's module raises while it is imported
        raise UsageError(f"target {name}: cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise UsageError(f"target {name}: is a {type(found).__name__}, and cannot be called")
    return found  # type: ignore[no-any-return]  # callable, as was seen


def begin_worker() -> None:
    """In a worker: what the function prints is for people, and goes where messages go."""
    os.dup2(2, 1)


def argument(word: str) -> tuple[str, Any]:
    """``KEY=VALUE``; a value that JSON can read is what JSON says, another is a text.

    Raises:
        UsageError: there is no key.
    """
    key, equals, value = word.partition("=")
    if not equals or not key.isidentifier():
        raise UsageError(f"--arg {word}: a name and a value are wanted, such as --arg threshold=30")
    try:
        return key, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return key, value
