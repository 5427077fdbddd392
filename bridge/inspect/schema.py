"""A JSON schema in a few characters: `string`, `integer|null`, `"a"|"b"`, `{path: string, text?: string}[]`. Pure."""

import json
from typing import Any

LONGEST = 120
DEEPEST = 4


def arguments(schema: Any) -> list[str]:
    """One line for each property: `name: type = default  (required)  description`."""
    if not isinstance(schema, dict):
        return []
    properties, required = schema.get("properties"), schema.get("required")
    lines = []
    for name, argument in (properties if isinstance(properties, dict) else {}).items():
        line = f"{name}: {type_of(argument, schema)}"
        if isinstance(argument, dict):
            if "default" in argument:
                line += f" = {_short(json.dumps(argument['default'], ensure_ascii=False))}"
            if isinstance(required, list) and name in required:
                line += "  (required)"
            if description := one_line(argument.get("description")):  # not the title: pydantic makes it of the name
                line += f"  {description}"
        lines.append(line)
    return lines


def type_of(schema: Any, root: Any, depth: int = 0) -> str:
    if not isinstance(schema, dict) or not schema:
        return "any"
    return _short(_type(schema, root, depth))


def _type(schema: dict[str, Any], root: Any, depth: int) -> str:
    if isinstance(schema.get("$ref"), str):
        name = schema["$ref"].rsplit("/", 1)[-1]
        target = _resolve(schema["$ref"], root)
        return name if target is None or depth >= DEEPEST else type_of(target, root, depth + 1)
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if isinstance(schema.get("enum"), list):
        return "|".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key] and depth < DEEPEST:
            parts = [type_of(part, root, depth + 1) for part in schema[key]]
            return ("&" if key == "allOf" else "|").join(dict.fromkeys(parts))
    kind = schema.get("type")
    if isinstance(kind, list):
        return "|".join(str(one) for one in kind)
    if kind == "array" and schema.get("items") and depth < DEEPEST:
        items = type_of(schema["items"], root, depth + 1)
        return f"({items})[]" if "|" in items and not items.startswith("{") else f"{items}[]"
    if kind in ("object", None) and isinstance(schema.get("properties"), dict) and depth < DEEPEST:
        return _object(schema, root, depth)
    return str(kind or "any")


def _object(schema: dict[str, Any], root: Any, depth: int) -> str:
    required = schema.get("required") or []
    members = (
        f"{name}{'' if name in required else '?'}: {type_of(member, root, depth + 1)}" for name, member in schema["properties"].items()
    )
    text = "{" + ", ".join(members) + "}"
    return text if len(text) <= LONGEST else "object"


def _resolve(reference: str, root: Any) -> Any:
    """Only inside the document: an inspector fetches nothing from addresses that a server names."""
    if not reference.startswith("#/"):
        return None
    for step in reference[2:].split("/"):
        root = root.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(root, dict) else None
    return root


def one_line(text: Any) -> str:
    """The first paragraph; the rest is in --json."""
    paragraphs = [" ".join(part.split()) for part in str(text or "").strip().split("\n\n")]
    return paragraphs[0] + (" …" if len(paragraphs) > 1 else "")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
