"""What the documents say is true: every block, link, command line, key, default, metric and cause."""

import inspect
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import pytest

import syncsvc
from syncsvc import cli
from syncsvc.config.loader import loads
from syncsvc.config.models import STREAM_MODELS, GroupConfig, StreamKeys
from syncsvc.config.serving import Http, Publish
from syncsvc.config.strictness import Model
from syncsvc.errors import SyncsvcError
from syncsvc.observe.metrics import COUNTER, METRICS
from syncsvc.observe.status import DROP_CAUSES
from tests.project import ROOT, parse, texts

ENVIRONMENT = {"NORTH_PASSWORD": "one", "SOUTH_PASSWORD": "two", "SYNCSVC_HTTP_TOKEN": "three-and-more"}
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


class Block(NamedTuple):
    """One fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


@cache
def all_blocks() -> list[Block]:
    """The fenced blocks of all documents."""
    return [
        Block(document, text[: match.start()].count("\n") + 1, match[1], match[2])
        for document, text in ((document, document.read_text()) for document in DOCUMENTS)
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def blocks(language: str) -> list[Block]:
    """Those in one language."""
    return [block for block in all_blocks() if block.language == language]


def tables(document: str) -> Iterator[tuple[str, list[str]]]:
    """Every row of every table, cells stripped, with the heading above it."""
    heading = ""
    for line in (ROOT / document).read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| ") and not line.startswith("| ---"):
            yield heading, [cell.strip() for cell in line.strip("|").split(" | ")]


def first_column(document: str, heading: str, header: str) -> list[str]:
    """First cells of the tables under a heading whose header begins with ``header``, without quotes."""
    rows = [cells[0] for above, cells in tables(document) if above == heading]
    return [cell.strip("`") for cell in rows[rows.index(header) + 1 :]]


def test_every_block_is_of_a_language_that_is_checked_here_or_is_plain_text() -> None:
    assert {block.language for block in all_blocks()} == {"yaml", "python", "sh", "text"}


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_blocks_are_configurations(block: Block) -> None:
    config = loads(block.text, str(block), environ=ENVIRONMENT)
    assert len(config.streams) >= 2


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_blocks_compile_and_import_what_exists(block: Block) -> None:
    compile(block.text, str(block), "exec")
    for names in re.findall(r"^from syncsvc import (.+)$", block.text, re.MULTILINE):
        assert {name.strip() for name in names.split(",")} <= set(syncsvc.__all__)


def shell_commands() -> Iterator[tuple[str, list[str]]]:
    """Every ``syncsvc`` command line of the documents."""
    for block in blocks("sh"):
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["syncsvc"]:
                yield f"{block} {' '.join(words[1:3])}", words[1:]


@pytest.mark.parametrize("arguments", [pytest.param(words, id=name) for name, words in shell_commands()])
def test_command_lines_of_the_documents_are_understood(arguments: list[str]) -> None:
    parse(arguments)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_an_example_that_it_understands(name: str) -> None:
    command = cli.main.get_command(click.Context(cli.main), name)
    assert command is not None
    text = f"{command.help or ''}\n{command.epilog or ''}"
    examples = re.findall(rf"^(?:Examples?:)? *syncsvc ({name}\b.*?)(?:  |&&|[|>] |$)", text, re.MULTILINE)
    assert examples
    for example in examples:
        parse(shlex.split(example))


def test_the_parser_of_this_test_refuses_a_wrong_command_line() -> None:
    with pytest.raises(click.UsageError):
        parse(["run", "a.yaml", "--no-such-option"])


def test_the_table_of_commands_is_the_list_of_commands() -> None:
    named = [name.split()[1] for name in first_column("README.md", "Commands", "command")]
    assert sorted(named) == sorted(cli.COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"[a-z]+://", target):
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        assert file.exists(), f"{document.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{document.name}: {target}"


def test_the_path_of_a_frame_in_the_readme_is_nine_files() -> None:
    steps = re.findall(
        r"^\d\. \[([\w/]+\.py)\]\(syncsvc/([\w/]+\.py)\)", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert len(steps) == 9
    assert all(shown == linked for shown, linked in steps)


SECTIONS: dict[str, tuple[type[Model], set[str]]] = {
    "`streams`: every kind": (
        StreamKeys,
        {"url", "pixels", "coded", "quality", "size", "max_pixels", "latency_ms", "stall_after_ms", "clock"},
    ),
    "`streams`: `rtsp:`, `rtsps:`": (
        STREAM_MODELS["rtsp"],
        {"transport", "open_timeout_ms", "read_timeout_ms"},
    ),
    "`streams`: `file:`": (STREAM_MODELS["file"], {"pace", "loop", "timestamps", "offset_ms"}),
    "`groups`": (GroupConfig, set(GroupConfig.model_fields)),
    "`publish`": (Publish, set(Publish.model_fields)),
    "`http`": (Http, set(Http.model_fields)),
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_keys_are_explained_once_with_their_true_defaults(heading: str) -> None:
    model, keys = SECTIONS[heading]
    rows = [cells for above, cells in tables("docs/configuration.md") if above == heading][1:]
    assert sorted(cells[0].strip("`") for cells in rows) == sorted(keys)
    fields = {**STREAM_MODELS["rtsp"].model_fields, **model.model_fields}
    for key, default, *_ in rows:
        field = fields[key.strip("`")]
        expected = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
        assert default == expected, f"{heading}: {key}"


def test_no_key_of_a_stream_is_left_unexplained() -> None:
    explained = set().union(*(keys for heading, (_, keys) in SECTIONS.items() if "streams" in heading))
    for kind, model in STREAM_MODELS.items():
        keys = set(model.model_fields) - model.from_url
        assert keys <= explained, f"{kind}: {keys - explained}"


def test_metrics_are_documented_as_they_are_declared() -> None:
    rows = {
        f"| `{metric.name}{'_total' if metric.kind is COUNTER else ''}` "
        f"| {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |".replace("|  |", "| |")
        for metric in METRICS
    }
    assert rows == set(re.findall(r"^\| `syncsvc_.+", texts()["docs/operations.md"], re.MULTILINE))


def test_every_cause_of_a_drop_is_documented() -> None:
    pattern = re.compile(r"(?:drop|Drop|Loss|_lose)\((?:[^()]|\(\))*?\"([a-z]+_[a-z]+)\"")
    causes = {cause for name, text in texts().items() if name.startswith("syncsvc/") for cause in pattern.findall(text)}
    documented = {
        cells[0].strip("`") for _, cells in tables("docs/operations.md") if re.fullmatch(r"`[a-z]+_[a-z]+`", cells[0])
    }
    assert causes == {cause for cause in documented if not cause.startswith("syncsvc_")}
    assert causes == set(DROP_CAUSES)


@cache
def sections_of_the_client() -> dict[str, str]:
    """The text below each heading of the client's page."""
    parts = re.split(r"^## (\w+)$", texts()["docs/client.md"], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


ERRORS = {name for name in syncsvc.__all__ if isinstance(getattr(syncsvc, name), type)
          and issubclass(getattr(syncsvc, name), SyncsvcError)}  # fmt: skip
API = sorted(set(syncsvc.__all__) - ERRORS - {"__version__"})


USED = {
    "SubscriberStats": r"batches\.stats\.", "FrameBatch": r"batch\.frames", "FrameSet": r"batch\.sets",
    "Codec": r"layout\.codec", "Frame": r"\.planes\(\)",
}  # fmt: skip
"""What is handed out and need not be imported."""


def public(kind: type) -> set[str]:
    """Fields, properties and methods that a user may name."""
    named = {name for base in kind.__mro__[:-1] for name in (*vars(base), *getattr(base, "__annotations__", ()))}
    shapes = set(dir(msgspec.Struct))
    return {name for name in named if not name.startswith("_") and name not in shapes}


def test_the_page_of_the_client_has_a_section_for_each_name() -> None:
    assert sorted(set(sections_of_the_client()) - {"Errors"}) == API
    described = first_column("docs/client.md", "Errors", "error")
    assert sorted(described) == sorted(ERRORS - {"SyncsvcError"})


@pytest.mark.parametrize("name", API)
def test_the_page_of_the_client_names_everything_that_a_value_has_and_shows_how_it_is_used(name: str) -> None:
    section, thing = sections_of_the_client()[name], getattr(syncsvc, name)
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", section))))
    named = public(thing) if isinstance(thing, type) else set(inspect.signature(thing).parameters) - {"batch"}
    assert named <= words, f"{name}: {named - words}"
    recipes = "".join(block.text for block in blocks("python") if block.text in section)
    assert re.search(rf"^from syncsvc import .*\b{name}\b|{USED.get(name, 'nowhere')}", recipes, re.MULTILINE)


@pytest.mark.parametrize("name", API)
def test_the_page_of_the_client_names_every_error_that_a_docstring_names(name: str) -> None:
    section, thing = sections_of_the_client()[name], getattr(syncsvc, name)
    members = [getattr(thing, each, None) for each in public(thing)] if isinstance(thing, type) else []
    for member in [thing, *members]:
        _, _, raises = (inspect.getdoc(member) or "").partition("Raises:\n")
        for error in re.findall(r"^ +(\w+):", raises, re.MULTILINE):
            assert f"`{error}`" in section, f"{name}: {member}: {error}"
