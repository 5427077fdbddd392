"""Other versions in the text of a stanza, with everything else as its author wrote it. Pure."""

from collections.abc import Mapping
from typing import Any

import yaml

from bridge.fleet.stanza import Stanza
from bridge.fleet.update import Stays

PLACES = (("pypi",), ("npm",), ("image",), ("binary", "pypi"), ("binary", "npm"))  # where a stanza pins


def replaced(text: str, name: str, pins: Mapping[str, str]) -> tuple[str, Stanza]:
    """The text with these pins instead, and the stanza that it is. Raises Stays where it is written in a way that hides them."""
    before = _stanza(text, name)
    root = yaml.compose(text, yaml.SafeLoader)
    for node in sorted((node for place in PLACES for node in _scalars(root, place)), key=lambda node: -node.start_mark.index):
        start, end = node.start_mark.index, node.end_mark.index
        if (new := pins.get(node.value)) is not None:
            text = text[:start] + text[start:end].replace(node.value, new) + text[end:]
    try:
        after = _stanza(text, name)
    except (ValueError, yaml.YAMLError):  # an index may call anything a version
        after = None
    if after is None or after != _wanted(before, pins):
        raise Stays(
            f"images/{name}/stanza.yaml is written in a way that this cannot change: write {', '.join(pins.values())} there yourself"
        )
    return text, after


def said(stanza: Stanza) -> list[str]:
    """The pins that it has now."""
    binary = stanza.binary
    return [pin for pin in (*stanza.pypi, *stanza.npm, stanza.image, *((binary.pypi, binary.npm) if binary else ())) if pin]


def _stanza(text: str, name: str) -> Stanza:
    return Stanza.model_validate({**yaml.safe_load(text), "name": name})


def _wanted(stanza: Stanza, pins: Mapping[str, str]) -> Stanza:
    def of(value: str) -> str:
        return pins.get(value, value)

    binary = stanza.binary
    return stanza.model_copy(
        update={
            "pypi": list(map(of, stanza.pypi)),
            "npm": list(map(of, stanza.npm)),
            "image": of(stanza.image),
            "binary": binary.model_copy(update={"pypi": of(binary.pypi), "npm": of(binary.npm)}) if binary else None,
        }
    )


def _scalars(node: Any, place: tuple[str, ...]) -> list[Any]:
    for name in place:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in pairs if key.value == name), None)
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node] if isinstance(node, yaml.ScalarNode) else []
