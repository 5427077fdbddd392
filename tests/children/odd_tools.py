"""The well-behaved child with tools that models and LiteLLM choke on, on three pages, as LiteLLM 1.77 reads the first only.

Each odd tool answers with its own name and its arguments as JSON.
"""

import json
from functools import partial

from echo import child

STRING = {"type": "string"}
LONG = "a_tool_with_a_name_that_says_everything_that_there_is_to_say_about_it"
SCHEMAS = {
    "user.get": {"type": "object", "properties": {"id": STRING}},
    "user/get": {"type": "object", "properties": {"id": STRING}},
    LONG: {"type": "object", "properties": {"id": STRING}},
    "no_properties": {"type": "object"},
    "no_schema": None,
    "boolean": True,
    "booleans": {"type": "object", "properties": {"anything": True}},
    "list": {"type": "object", "properties": {"items": {"type": "array"}}},
    "reference": {
        "type": "object",
        "properties": {"who": {"$ref": "#/$defs/Who"}},
        "$defs": {"Who": {"type": "object", "properties": {"name": STRING}}},
    },
    "tree": {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node"}},
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
    },
    "choice": {"type": "object", "properties": {"a": STRING, "b": STRING}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
}

for name, schema in SCHEMAS.items():
    entry = {"name": name, "description": name, "inputSchema": schema}
    if schema is None:
        del entry["inputSchema"]
    child.tools[name] = partial(lambda name, call, **arguments: json.dumps([name, arguments]), name), entry, False
child.pages = 3
child.run()
