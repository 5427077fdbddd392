"""A tool's input schema in a spelling that the interfaces of models take, with the same meaning. Pure, on decoded JSON.

What they choke on, and what stands there instead: no schema or a boolean (`true`, an object with anything in it), an object
without `properties` (an empty one), an array without `items` (any), booleans as schemas inside (`{}`, `{"not": {}}`), and
`$ref` into the schema itself (what it points at, where that ends and does not grow much). What would change the meaning stays
as it is; `tool_checks` names it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]

MOST = 2000  # schemas in one, after references were followed
DEEPEST = 60
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "not", "contains", "if", "then", "else", "propertyNames")  # booleans mean schemas here, and may be spelled otherwise
BOOLEAN = ("additionalProperties", "unevaluatedProperties", "unevaluatedItems", "additionalItems")  # here booleans are understood
_ANNOTATIONS = frozenset(("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"))
_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")  # of a list, in a pointer
_OTHER_BASES = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef")


class Stays(Exception):
    """References that cannot be followed to their end."""


def mended(schema: Any) -> Schema:
    """The schema of a tool's arguments; `schema` itself where nothing is to be mended."""
    if not isinstance(schema, dict):
        return {"type": "object", "properties": {}}
    if has_references(schema):
        schema = inlined(schema) or schema
    plain: Schema = _plain(schema, 0)
    if plain.get("type") == "object" and not isinstance(plain.get("properties"), dict):
        return {**plain, "properties": {}}
    return plain


def has_references(schema: Any) -> bool:
    return any(isinstance(part.get("$ref"), str) for part in walk(schema))


def walk(schema: Any, depth: int = 0) -> Iterator[Schema]:
    """Each schema in a schema, itself included; not what only looks like one, in a default or an enum."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return
    yield schema
    for part in parts(schema):
        yield from walk(part, depth + 1)


def parts(schema: Schema) -> Iterator[Any]:
    """The schemas that stand directly in it, booleans among them."""
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            yield from value.values()
        elif (name in _LISTS and isinstance(value, list)) or (name == "items" and isinstance(value, list)):
            yield from value
        elif name in _SINGLE or name in BOOLEAN:
            yield value


def inlined(schema: Schema) -> Schema | None:
    """The schema without references; None where one points at itself or outside, or where they make it grow too much."""
    if any(name in part for part in walk(schema) for name in _OTHER_BASES):
        return None
    count = [0]

    def follow(part: Any, path: tuple[str, ...]) -> Any:
        count[0] += 1
        if count[0] > MOST or len(path) > DEEPEST:
            raise Stays
        if not isinstance(part, dict):
            return part
        reference = part.get("$ref")
        if not isinstance(reference, str):
            return _rebuilt(part, lambda inner: follow(inner, path))
        if reference in path:
            raise Stays
        target = follow(target_of(schema, reference), (*path, reference))
        beside = {name: value for name, value in part.items() if name != "$ref"}
        if not isinstance(target, dict):
            return target
        if beside.keys() <= _ANNOTATIONS:
            return {**target, **beside}
        return {"allOf": [target], **_rebuilt(beside, lambda inner: follow(inner, path))}

    try:
        without = follow({name: value for name, value in schema.items() if name not in ("$defs", "definitions")}, ())
    except (Stays, RecursionError):
        return None
    return without if isinstance(without, dict) else None


def target_of(schema: Schema, reference: str) -> Any:
    """What `#/$defs/X` or `#/properties/x/anyOf/0` points at (RFC 6901). Raises Stays where there is no such thing."""
    if not reference.startswith("#/"):
        raise Stays
    found: Any = schema
    for step in reference[2:].split("/"):
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and _INDEX.fullmatch(step) and int(step) < len(found):
            found = found[int(step)]
        else:
            raise Stays
    return found


def _rebuilt(schema: Schema, change: Callable[[Any], Any]) -> Schema:
    """The schema with `change(part)` in place of each part; itself if nothing changed."""
    result: Schema = {}
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            result[name] = {key: change(part) for key, part in value.items()}
        elif (name in _LISTS or name == "items") and isinstance(value, list):
            result[name] = [change(part) for part in value]
        elif ((name in _SINGLE or name in BOOLEAN) and isinstance(value, dict)) or (name in _SINGLE and isinstance(value, bool)):
            result[name] = change(value)
        else:
            result[name] = value
    return result if result != schema else schema


def _plain(schema: Any, depth: int) -> Any:
    """Without booleans for schemas, and with the items of each array."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if not isinstance(schema, dict) or depth > DEEPEST:
        return schema
    if schema.get("type") == "array" and "items" not in schema and "prefixItems" not in schema:
        schema = {**schema, "items": {}}
    return _rebuilt(schema, lambda part: _plain(part, depth + 1))
