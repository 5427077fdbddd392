"""images/stanza.schema.json says the same as the model: what one takes, the other takes."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from bridge.fleet.targets.schema import schema

SCHEMA = jsonschema.Draft202012Validator(json.loads(schema().text))
IMAGES = Path(__file__).parents[2] / "images"


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*/stanza.yaml")), ids=lambda path: path.parent.name)
def test_every_stanza_of_the_catalog_fits(path):
    SCHEMA.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "stanza",
    [
        {"command": "a b"},
        {"command": ["a", "b"], "pypi": "a==1"},
        {"secrets": ["A"]},
        {"secrets": {"A": None, "B": {"as": "file"}}},
        {"volumes": ["a:/b", {"source": "a", "target": "/b"}]},
        {"bridge": {"max-in-flight": 1, "isolation": "shared", "tool_allow": ["a"]}},
        {"litellm": {"access_groups": "everyone"}},
    ],
)
def test_what_is_read_kindly_fits(stanza):
    SCHEMA.validate(stanza)


@pytest.mark.parametrize(
    "stanza", [{"comand": "a"}, {"bridge": {"port": 1}}, {"bridge": {"isolation": "none"}}, {"smoke": {}}, {"egress": "maybe"}]
)
def test_a_mistake_does_not(stanza):
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(stanza)
