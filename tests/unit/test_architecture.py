"""What the tree promises to a reader, held against every module: sizes, names, imports, and who catches everything.

Each rule is a function from sources to complaints, and is tried on a source that breaks it.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import pytest

from tests.project import texts

MOST_LINES = 350
MOST_LINES_OF_A_FUNCTION = 50

NAMES_OF_SEVERAL_FILES: Mapping[str, str] = {
    "process": "the loop of a capture and that of the receiver: in either room the file that its process runs",
    "leases": "the right to read a slot: who gives it, and who holds it",
    "live": "one outlet, at its two ends",
    "local": "one outlet, at its two ends",
    "stills": "pictures one by one: from a camera that gives no more, and the command that writes them to the disk",
    "lossless": "one outlet, at its two ends, and what they say to each other",
    "control": "what is said on that socket, and who says it",
    "record": "the command, and the benchmark of that name: both are found by it",
}
IMPORTS_IN_FUNCTIONS: Mapping[str, str] = {
    "syncsvc/capture/probe.py": "the engine of captures, for the process that looks: the one that asks does without",
    "syncsvc/capture/process.py": "the one kind of source that this capture is: the others' libraries stay out of it",
    "syncsvc/client/decoder.py": "av, which a client of decoded frames does without",
    "syncsvc/daemon/http.py": "prometheus_client, which a service that nobody scrapes does without",
    "syncsvc/model.py": "numpy, which the daemon does without: it touches no pixel",
    "syncsvc/pictures.py": "OpenCV, which is optional",
    "syncsvc/observe/tables.py": "rich, which a command that prints JSON does without",
}
"""Commands beside them, all: ``--help`` of one loads none of the others."""
CATCH_ALL: Mapping[str, str] = {
    "syncsvc/capture/nursery.py": "the top frame of a child that was forked: it must not return into its parent's code",
    "syncsvc/lifecycle.py": "a worker's top frame, which keeps what was raised for its owner",
    "syncsvc/sinks/process/answers.py": "what a user's function raised, which becomes a result",
    "syncsvc/sinks/process/target.py": "what a user's module raises while it is imported, which is told",
    "syncsvc/pool/parcels.py": "an exception's own way to be pickled, which may raise anything",
    "syncsvc/pool/worker_process.py": "the top frame of a user's function, which sends what was raised to its caller",
}
"""Beside those who only tidy up and raise it again."""

PICKLES: Mapping[str, str] = {
    "syncsvc/pool/parcels.py": "a user's function and its arguments, to and from children of ours over a socket pair",
}
"""Nothing that comes from a network is unpickled anywhere."""

Sources = Mapping[str, ast.Module]
Rule = Callable[[Sources], Iterator[str]]


@cache
def product() -> Sources:
    modules = (name for name in texts() if name.startswith("syncsvc/") and name.endswith(".py"))
    return {name: ast.parse(texts()[name]) for name in modules}


def functions_in(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imports_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def last_line(tree: ast.Module) -> int:
    return max((node.end_lineno or 0 for node in tree.body), default=0)


def says_why_it_is_there(sources: Sources) -> Iterator[str]:
    for name, tree in sources.items():
        first = (ast.get_docstring(tree) or "").partition("\n")[0]
        if not first.endswith((".", ":")):
            yield f"{name}: its first line is not a sentence"


def is_no_longer_than_a_reader_holds(sources: Sources) -> Iterator[str]:
    for name, tree in sources.items():
        if last_line(tree) > MOST_LINES:
            yield f"{name}: {last_line(tree)} lines"
        for function in functions_in(tree):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                yield f"{name}: {function.name} has {length} lines"


def pickles_nothing(sources: Sources) -> Iterator[str]:
    for name, tree in sources.items():
        for module in imports_in(tree):
            if name not in PICKLES and module.partition(".")[0] in (
                "pickle",
                "cloudpickle",
                "dill",
                "marshal",
                "shelve",
            ):
                yield f"{name}: imports {module}"


def has_one_class_of_a_name(sources: Sources) -> Iterator[str]:
    homes = defaultdict(list)
    for name, tree in sources.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name)
    for name, files in homes.items():
        if len(files) > 1:
            yield f"{name}: {', '.join(files)}"


def has_one_file_of_a_name(sources: Sources) -> Iterator[str]:
    folders = defaultdict(list)
    for name in sources:
        folder, _, file = name.removesuffix(".py").rpartition("/")
        if not file.startswith("__"):
            folders[file].append(folder)
    for file, homes in folders.items():
        if len(homes) > 1 and file not in NAMES_OF_SEVERAL_FILES:
            yield f"{file}: {', '.join(homes)}"


def imports_at_its_top(sources: Sources) -> Iterator[str]:
    for name, tree in sources.items():
        if name in IMPORTS_IN_FUNCTIONS or name.startswith("syncsvc/cli/"):
            continue
        for function in functions_in(tree):
            for module in imports_in(function):
                yield f"{name}: {function.name} imports {module}"


def lines_that_swallow_everything(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = [] if node.type is None else [getattr(one, "id", "") for one in ast.walk(node.type)]
            is_raised_again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if not is_raised_again and (not caught or {"Exception", "BaseException"} & set(caught)):
                yield node.lineno


def catches_what_it_can_act_on(sources: Sources) -> Iterator[str]:
    for name, tree in sources.items():
        if name not in CATCH_ALL:
            yield from (f"{name}:{line}: catches everything" for line in lines_that_swallow_everything(tree))


def says_in_types_what_crosses_a_process_border(sources: Sources) -> Iterator[str]:
    """A message that says in a key what it is."""
    for name, tree in sources.items():
        if name.split("/")[1] in ("daemon", "receiver", "capture", "transport"):
            for node in ast.walk(tree):
                if isinstance(node, ast.Dict) and "type" in (getattr(key, "value", None) for key in node.keys):
                    yield f"{name}:{node.lineno}: a dict with a type"


RULES: Mapping[Rule, tuple[dict[str, str], int]] = {
    says_why_it_is_there: ({"syncsvc/a.py": "x = 1", "syncsvc/b.py": '"""Words\n\nMore."""'}, 2),
    is_no_longer_than_a_reader_holds: (
        {"syncsvc/a.py": "\n" * MOST_LINES + "x = 1", "syncsvc/b.py": "def f() -> int:" + "\n" * 50 + "    return 1"},
        2,
    ),
    pickles_nothing: ({"syncsvc/a.py": "def f() -> None:\n    from pickle import loads"}, 1),
    has_one_class_of_a_name: ({"syncsvc/a.py": "class One: ...", "syncsvc/b.py": "class One: ..."}, 1),
    has_one_file_of_a_name: ({"syncsvc/a/one.py": "", "syncsvc/b/one.py": "", "syncsvc/b/__init__.py": ""}, 1),
    imports_at_its_top: ({"syncsvc/a.py": "def f() -> None:\n    import os"}, 1),
    says_in_types_what_crosses_a_process_border: (
        {"syncsvc/daemon/a.py": 'x = {"type": "ready"}', "syncsvc/config/a.py": 'x = {"type": "integer"}'},
        1,
    ),
    catches_what_it_can_act_on: (
        {
            "syncsvc/a.py": "try:\n    f()\nexcept Exception:\n    pass\n",
            "syncsvc/b.py": "try:\n    f()\nexcept:\n    pass\n",
            "syncsvc/c.py": "try:\n    f()\nexcept (OSError, BaseException):\n    pass\n",
            "syncsvc/d.py": "try:\n    f()\nexcept BaseException:\n    g()\n    raise\n",
        },
        3,
    ),
}
"""Each with what it must complain about, and how often."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module(rule: Rule) -> None:
    assert list(rule(product())) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_complains(rule: Rule) -> None:
    broken, complaints = RULES[rule]
    assert len(list(rule({name: ast.parse(text) for name, text in broken.items()}))) == complaints


def test_no_exception_from_a_rule_has_outlived_its_reason() -> None:
    sources = product()
    assert set(IMPORTS_IN_FUNCTIONS) == {
        name
        for name, tree in sources.items()
        if not name.startswith("syncsvc/cli/") and any(map(list, map(imports_in, functions_in(tree))))
    }
    stems = [name.rpartition("/")[2].removesuffix(".py") for name in sources]
    assert all(stems.count(file) > 1 for file in NAMES_OF_SEVERAL_FILES)
    assert all(any(lines_that_swallow_everything(sources[name])) for name in CATCH_ALL)
    assert all("pickle" in imports_in(sources[name]) for name in PICKLES)
