"""A template filled in: `{{name}}` stands for a value, and a line whose only content has nothing to say is left out."""

import re
from functools import cache
from importlib.resources import files

_PLACE = re.compile(r"\{\{(\w+)\}\}")


@cache
def template(name: str) -> str:
    return files("bridge.fleet.targets").joinpath("templates", name).read_text(encoding="utf-8")


def fill(text: str, values: dict[str, str]) -> str:
    """`text` with its places filled. Raises KeyError for a place without a value."""
    lines = []
    for line in text.splitlines():
        alone = _PLACE.fullmatch(line.strip())
        if alone and not values[alone[1]]:
            continue
        lines.append(_PLACE.sub(lambda found: values[found[1]], line))
    return "\n".join(lines) + "\n"
