"""images/stanza.schema.json: what an editor needs to complete and check a stanza.

# yaml-language-server: $schema=../stanza.schema.json
"""

import json
from typing import Any

from bridge.fleet.files import MADE_BY, File
from bridge.fleet.policy import PER_MCP
from bridge.fleet.stanza import Stanza

_TEXT = {"type": "string"}


def schema() -> File:
    document = Stanza.model_json_schema(by_alias=True)
    properties, parts = document["properties"], document["$defs"]
    del properties["name"]  # the folder's
    document["required"] = []
    # What is read kindly: one text for a list of one, words as in a shell, secrets by name, volumes as compose writes them.
    for owner in (document, *parts.values()):
        for field in owner.get("properties", {}).values():
            if field.get("type") == "array" and field["items"].get("type") == "string":
                _or(field, field["items"])
    _or(properties["volumes"]["items"], _TEXT)
    named = properties["secrets"]
    named["additionalProperties"] = {"anyOf": [named["additionalProperties"], {"type": "null"}]}
    _or(named, {"type": "array", "items": _TEXT})
    properties["bridge"] = {**properties["bridge"], "additionalProperties": False, "properties": _options()}
    return File(
        "images/stanza.schema.json",
        json.dumps(
            {"$comment": MADE_BY, "$schema": "https://json-schema.org/draft/2020-12/schema", **document, "title": "One MCP of the fleet"},
            indent=2,
            ensure_ascii=False,
        )
        + "\n",
    )


def _or(field: dict[str, Any], other: dict[str, Any]) -> None:
    """`field` takes `other` too."""
    kept = {key: field.pop(key) for key in list(field) if key not in ("description", "default", "title")}
    field["anyOf"] = [kept, other]


def _options() -> dict[str, Any]:
    """The per-MCP options of `serve`, each also with '-' for '_'."""
    kinds = {"int": "integer", "whole": "integer", "seconds": "number", "float": "number", "flag": "boolean"}
    found: dict[str, Any] = {}
    for name, item in PER_MCP.items():
        meta = item.metadata
        said: dict[str, Any] = {"description": meta["help"]}
        if meta["choices"]:
            said["enum"] = list(meta["choices"])
        elif kind := kinds.get(meta["type"].__name__):
            said["type"] = kind
        found |= dict.fromkeys({name, name.replace("_", "-")}, said)
    return dict(sorted(found.items()))
