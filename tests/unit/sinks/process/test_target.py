"""Which function is meant, what it is called with, and what is said where there is none."""

from pathlib import Path
from typing import Any

import pytest

from syncsvc.errors import UsageError
from syncsvc.sinks.process.target import argument, find_target


def given_previous(frame: Any, previous: Any, factor: int = 1) -> Any:
    return frame, previous, factor


def test_functions_are_found_by_short_names_and_by_where_they_are() -> None:
    assert find_target("edges", {}).function.func.__name__ == "edges"  # type: ignore[attr-defined]  # a partial
    target = find_target(f"{__name__}:given_previous", {"factor": 3})
    assert target.wants_previous
    assert target.function("now", previous="before") == ("now", "before", 3)
    assert find_target("motion", {}).wants_previous
    assert not find_target("motion", {"previous": None}).wants_previous
    assert not find_target("builtins:len", {}).wants_previous
    assert find_target("pathlib:Path.exists", {}).function(Path("/"))


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("blurr", {}, "allowed are package.module:function and blur"),
        ("no.such.module:f", {}, "ModuleNotFoundError: No module named 'no'"),
        ("os:nothing", {}, "AttributeError"),
        ("os:name", {}, "is a str, and cannot be called"),
        ("emboss", {"strength": 3}, "unexpected keyword argument 'strength'"),
        (f"{__name__}:test_functions_are_found_by_short_names_and_by_where_they_are", {}, "too many positional"),
    ],
)
def test_what_is_no_target_is_said_in_one_line(name: str, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        find_target(name, arguments)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arguments_are_json_or_texts() -> None:
    words = ("a=3", "b=[1, 2.5]", "c=true", "d=text with = in it", "e=", 'f="7"')
    assert dict(map(argument, words)) == {
        "a": 3, "b": [1, 2.5], "c": True, "d": "text with = in it", "e": "", "f": "7",
    }  # fmt: skip
    for word in ("novalue", "=3", "not a name=3"):
        with pytest.raises(UsageError, match="a name and a value"):
            argument(word)
