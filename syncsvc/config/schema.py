"""The JSON Schema of the file as users write it, and the words that say what a key allows: both from the models."""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Final

from syncsvc.config import models, serving, spool_keys
from syncsvc.config.models import NAME_PATTERN, STREAM_MODELS, Config
from syncsvc.config.strictness import Model

Schema = dict[str, Any]

_VARIABLE: Final[Schema] = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
_URL_PATTERNS: Final[Mapping[str, str]] = {
    "rtsp": "^[Rr][Tt][Ss][Pp][Ss]?://",
    "http": "^[Hh][Tt][Tt][Pp][Ss]?://",
    "file": "^[Ff][Ii][Ll][Ee]:.",
    "v4l2": r"^[Vv]4[Ll]2:(/|\$\{)",
    "synthetic": "^[Ss][Yy][Nn][Tt][Hh][Ee][Tt][Ii][Cc]:",
}


@cache
def model_schema() -> Schema:
    """The schema of the models, ``kind`` and all."""
    schema = Config.model_json_schema()
    for name, part in {"Config": schema, **schema["$defs"]}.items():
        for field, sentence in _sentences(name).items():
            part["properties"][field] = dict(sorted({**part["properties"][field], "description": sentence}.items()))
    return schema


@cache
def _sentences(model: str) -> Mapping[str, str]:
    """The sentence under each field of a model, where there is one."""
    sentences: dict[str, str] = {}
    for one in reversed(_model(model).__mro__):
        if issubclass(one, Model) and one is not Model:
            for pair in pairwise(_bodies(one.__module__)[one.__name__]):
                match pair:
                    case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(sentence))):
                        sentences[name] = inspect.cleandoc(sentence)
    return {name: sentence for name, sentence in sentences.items() if name in _model(model).model_fields}


def _model(name: str) -> type[Model]:
    others = (getattr(module, name, None) for module in (models, serving, spool_keys))
    found: type[Model] = next(filter(None, others))
    return found


@cache
def _bodies(module: str) -> Mapping[str, list[ast.stmt]]:
    source = inspect.getsource(sys.modules[module])
    return {node.name: node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def keys_of(kind: str) -> tuple[str, ...]:
    """The keys that a stream of this kind takes in the file."""
    model = STREAM_MODELS[kind]
    return tuple(name for name in model.model_fields if name not in model.from_url)


def user_schema() -> Schema:
    """JSON Schema (draft 2020-12) of a configuration file: no ``kind``, and variables wherever a value may stand."""
    definitions = {name: _closed(schema) for name, schema in model_schema()["$defs"].items() if name != "SyntheticKeys"}
    for kind, model in STREAM_MODELS.items():
        stream = definitions[model.__name__]
        stream["properties"] = {key: stream["properties"][key] for key in keys_of(kind)}
        stream["properties"]["url"] |= {"pattern": rf"{_URL_PATTERNS[kind]}|^[^:]*\$\{{"}
        stream["required"] = ["url"]
    kinds = [{"$ref": f"#/$defs/{model.__name__}"} for model in STREAM_MODELS.values()]
    top = _closed({key: value for key, value in model_schema().items() if key != "$defs"})
    for section, items in (("streams", {"anyOf": kinds}), ("groups", {"$ref": "#/$defs/GroupConfig"})):
        names = {"propertyNames": {"pattern": NAME_PATTERN}, "additionalProperties": items, "minProperties": 1}
        top["properties"][section] = {"type": "object", "description": _sentences("Config")[section], **names}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "syncsvc configuration",
        "type": "object",
        "properties": top["properties"],
        "required": ["streams"],
        "additionalProperties": False,
        "$defs": {**definitions, "variable": _VARIABLE},
    }


def _closed(schema: Schema) -> Schema:
    """A model's schema whose leaves also take a variable."""
    return {**schema, "properties": {key: _with_variable(value) for key, value in schema["properties"].items()}}


def _with_variable(schema: Schema) -> Schema:
    """A leaf's schema that also takes a variable; sections, and texts without a choice, stay as they are."""
    is_section = "$ref" in schema or "patternProperties" in schema or any("$ref" in o for o in schema.get("anyOf", ()))
    if is_section or (schema.get("type") == "string" and "enum" not in schema):
        return schema
    about: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    value = {key: part for key, part in schema.items() if key not in ("title", *about)}
    options = [_without_path(option) for option in value.get("anyOf", [value])]
    return {"anyOf": [*options, {"$ref": "#/$defs/variable"}], **about}


def _without_path(option: Schema) -> Schema:
    """Without pydantic's own ``format: path``; the items of a list take variables too."""
    kept = {key: part for key, part in option.items() if key != "format"}
    if "prefixItems" in kept:
        kept["prefixItems"] = [{"anyOf": [item, {"$ref": "#/$defs/variable"}]} for item in kept["prefixItems"]]
    return kept


def walk(location: tuple[str | int, ...]) -> Iterator[tuple[str | int | None, Schema]]:
    """Follow a pydantic location through the models' schema.

    Yields:
        ``(key, schema)`` for each step; the key is None for a step that the file does not have (the union's tag, the
        mark of a mapping's key).
    """
    schema = model_schema()
    for index, part in enumerate(location):
        if part == "[key]" and index == 2:  # pydantic's mark for "the name itself": ("groups", "Lobby", "[key]")
            yield None, {"pattern": NAME_PATTERN}
            return
        schema = _resolved(schema)
        if "discriminator" in schema:
            tagged = schema["discriminator"]["mapping"].get(part)  # rules of the whole file name keys without the tag
            schema = _reference(tagged) if tagged else {}
            yield None if tagged else part, schema
            continue
        if isinstance(part, int):
            items = schema.get("prefixItems")
            schema = items[part] if items and part < len(items) else schema.get("items", {})
        else:
            named: Schema = next(iter(schema.get("patternProperties", {}).values()), {})  # streams and groups, by name
            schema = schema.get("properties", {}).get(part, named)
        yield part, _resolved(schema)


def _reference(pointer: str) -> Schema:
    found: Schema = model_schema()["$defs"][pointer.rpartition("/")[2]]
    return found


def _resolved(schema: Schema) -> Schema:
    """Without a reference, and without the null of an optional value where a step goes inside."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1 and ("$ref" in options[0] or options[0].get("type") == "array"):
        return {**_resolved(options[0]), "nullable": True}
    return _reference(schema["$ref"]) if "$ref" in schema else schema


def allowed(schema: Schema) -> str:
    """What a schema allows, in words: ``a whole number from 1 to 60000``."""
    if schema.get("nullable"):
        return allowed({key: value for key, value in schema.items() if key != "nullable"}) + ", or null"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(allowed(option) for option in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " | ".join(str(choice) for choice in schema.get("enum", [schema.get("const")]))
    if schema.get("pattern") == NAME_PATTERN:
        return "names of 1 to 64 characters from a-z 0-9 _ -"
    match schema.get("type"):
        case "integer":
            return f"a whole number{_bounds(schema)}"
        case "number":
            return f"a number{_bounds(schema)}"
        case "boolean":
            return "true or false"
        case "array" if "prefixItems" in schema:
            return f"[width, height], each {allowed(schema['prefixItems'][0])}"
        case "array":
            return "a list with at least one text, for example [north, south]"
        case "object":
            keys = schema.get("properties")
            return f"a mapping with the keys {', '.join(keys)}" if keys else "a mapping with at least one name"
        case "null":
            return "null"
    return "text, quoted if it looks like something else"


def _bounds(schema: Schema) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "exclusiveMaximum": "below", "maximum": "to"}
    parts = [f"{word} {schema[key]:.15g}" for key, word in words.items() if key in schema]
    return f" {' '.join(parts)}" if parts else ""
