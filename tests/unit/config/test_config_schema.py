"""The JSON Schema, the reference file and the models say the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pydantic_core import PydanticUndefined

from syncsvc.cli import main
from syncsvc.config.loader import load, loads
from syncsvc.config.models import STREAM_MODELS, GroupConfig, SyntheticKeys
from syncsvc.config.schema import keys_of
from syncsvc.config.security import Security
from syncsvc.config.serving import Http, Publish
from syncsvc.config.strictness import Model
from syncsvc.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "configs"
REFERENCE = yaml.safe_load((CONFIGS / "reference.yaml").read_text())


def printed_schema() -> dict[str, Any]:
    result = CliRunner().invoke(main, ["schema"])
    assert result.exit_code == 0
    schema: dict[str, Any] = json.loads(result.stdout)
    return schema


TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
UNDERSTOOD = {
    *("$schema", "$defs", "$ref", "title", "description", "default", "type", "enum", "const", "anyOf", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("items", "prefixItems", "properties", "required", "additionalProperties", "propertyNames", "minProperties"),
}


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """A validator for exactly the words that our schema uses; a word that it does not know fails the test."""
    assert set(schema) <= UNDERSTOOD, set(schema) - UNDERSTOOD
    if "$ref" in schema and not fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root):
        return False
    if "anyOf" in schema and not any(fits(value, option, root) for option in schema["anyOf"]):
        return False
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        return False
    if isinstance(value, str):
        length_fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return length_fits and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, int | float):
        inclusive = schema.get("minimum", value) <= value <= schema.get("maximum", value)
        return inclusive and schema.get("exclusiveMinimum", value - 1) < value < schema.get(
            "exclusiveMaximum", value + 1
        )
    if isinstance(value, list):
        schemas = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        size_fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return size_fits and all(fits(item, part, root) for item, part in zip(value, schemas, strict=False))
    if isinstance(value, dict):
        return _mapping_fits(value, schema, root)
    return True


def _mapping_fits(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any]) -> bool:
    if not set(schema.get("required", ())) <= set(value) or len(value) < schema.get("minProperties", 0):
        return False
    known, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, item in value.items():
        if not fits(name, schema.get("propertyNames", {}), root):
            return False
        part = known.get(name, extra)
        if part is False or (isinstance(part, dict) and not fits(item, part, root)):
            return False
    return True


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.name)
def test_the_shipped_files_load_and_fit_the_schema(file: Path) -> None:
    schema = printed_schema()
    assert fits(yaml.safe_load(file.read_text()), schema, schema)
    assert CliRunner().invoke(main, ["check", str(file)]).exit_code == 0


def test_an_example_for_a_person_fits_on_a_page() -> None:
    assert len((CONFIGS / "two-cameras.yaml").read_text().splitlines()) <= 15
    streams = load(CONFIGS / "two-cameras.yaml", {"NORTH_HOST": "a", "SOUTH_HOST": "b"}).streams
    assert [(name, stream.kind) for name, stream in streams.items()] == [("north", "rtsp"), ("south", "rtsp")]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "streams: {}",
        "streams: {A: {url: 'rtsp://h'}}",
        "streams: {a: {url: 'ftp://h'}}",
        "streams: {a: {url: 'rtsp://h', kind: rtsp}}",
        "streams: {a: {url: 'rtsp://h', loop: true}}",
        "streams: {a: {url: 'file:a', path: a}}",
        "streams: {a: {url: 'synthetic:', spec: {}}}",
        "streams: {a: {url: 'rtsp://h', clock: pts}}",
        "streams: {a: {url: 'rtsp://h', pixels: rgb24}}",
        "streams: {a: {url: 'rtsp://h', pixels: jpeg, quality: 101}}",
        "streams: {a: {url: 'synthetic:', pixels: encoded}}",
        "streams: {a: {url: 'v4l2:/dev/video0', pixels: encoded}}",
        "streams: {a: {url: 'rtsp://h', size: [640]}}",
        "streams: {a: {url: 'rtsp://h', size: ['640', 360]}}",
        "streams: {a: {url: 'rtsp://h', latency_ms: true}}",
        "streams: {a: {url: 'rtsp://h', stall_after_ms: 0}}",
        "streams: {a: {url: 'rtsp://h'}}\ngroups: {}",
        "streams: {a: {url: 'rtsp://h'}}\ngroups: {g: {}}",
        "streams: {a: {url: 'rtsp://h'}}\ngroups: {g: {streams: [a], window_ms: 0}}",
        "streams: {a: {url: 'rtsp://h'}}\npublish: {history: '8'}",
        "streams: {a: {url: 'rtsp://h'}}\nhttp: {port: 1}",
        "streams: {a: {url: 'rtsp://h'}}\nextra: 1",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(text: str) -> None:
    schema = printed_schema()
    assert not fits(yaml.safe_load(text), schema, schema)
    with pytest.raises(ConfigError):
        loads(text, "x.yaml", "/", {})


@pytest.mark.parametrize(
    "text",
    [
        "streams: {a: {url: '${CAMERA:-rtsp://h}', latency_ms: '${L:-5}', size: ['${W:-640}', 360]}}",
        "streams: {a: {url: 'v4l2:/dev/video0', size: null}, b: {url: 'RTSPS://h'}}\nhttp: null",
        "streams: {a: {url: 'file:x', timestamps: t.csv, pace: asap}}\ngroups: {g: {streams: [a], reference: a}}",
        "streams: {a: {url: 'rtsp://h'}}\ngroups: {g: {streams: [a], window_ms: null, max_skew_ms: 2000}}",
    ],
)
def test_the_schema_takes_what_users_write(text: str) -> None:
    schema = printed_schema()
    assert fits(yaml.safe_load(text), schema, schema)


def test_every_key_of_the_schema_has_a_reason() -> None:
    schema = printed_schema()
    nameless = [
        f"{name}.{key}"
        for name, model in schema["$defs"].items()
        for key, value in model.get("properties", {}).items()
        if "description" not in value
    ]
    assert nameless == []


def defaults(model: type[Model], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: model.model_fields[key].default for key in keys if key not in ("url", "streams")}


@pytest.mark.parametrize("kind", STREAM_MODELS)
def test_the_reference_has_every_key_of_every_kind_with_its_default(kind: str) -> None:
    config = load(CONFIGS / "reference.yaml", {})
    (name,) = (name for name, stream in config.streams.items() if stream.kind == kind)
    written = {key: value for key, value in REFERENCE["streams"][name].items() if key != "url"}
    assert written == defaults(STREAM_MODELS[kind], keys_of(kind))
    assert PydanticUndefined not in written.values()


def test_the_reference_has_every_other_key_with_its_default() -> None:
    (group,) = REFERENCE["groups"].values()
    assert {key: value for key, value in group.items() if key != "streams"} == defaults(
        GroupConfig, tuple(GroupConfig.model_fields)
    )
    assert group["streams"] == list(REFERENCE["streams"])
    assert REFERENCE["publish"] == defaults(Publish, tuple(Publish.model_fields))
    assert REFERENCE["security"] == defaults(Security, tuple(Security.model_fields))
    assert REFERENCE["http"] == defaults(Http, tuple(Http.model_fields))
    assert REFERENCE["spool"] is None
    assert list(REFERENCE) == ["streams", "groups", "publish", "http", "security", "spool"]


def test_the_reference_has_every_parameter_of_a_generated_stream() -> None:
    url = REFERENCE["streams"]["test"]["url"]
    written = {pair.partition("=")[0] for pair in url.partition("?")[2].split("&")}
    assert written == set(SyntheticKeys.model_fields) - {"width", "height", "stall"} | {"size"}
    assert load(CONFIGS / "reference.yaml", {}).streams["test"].spec == SyntheticKeys()  # type: ignore[union-attr]


def test_every_key_of_the_reference_says_why() -> None:
    text = (CONFIGS / "reference.yaml").read_text()
    for key in ("transport", "pace", "loop", "timestamps", *GroupConfig.model_fields, *Publish.model_fields):
        assert re.search(rf"^ +{key}: [^#]+# .{{10,}}", text, re.MULTILINE), key
