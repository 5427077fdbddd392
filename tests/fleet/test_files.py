"""What stands in a generated file is what its reader takes from it."""

import json
import subprocess

import pytest
import yaml

from bridge.fleet.files import dump

ODD = [
    "1",
    "+1",
    "-1",
    "1_000",
    "017",
    "0o17",
    "0x1F",
    "0b11",
    "1e3",
    "1E+3",
    "1.",
    ".5",
    "-.5e-3",
    "1.5",
    "12:30",
    "12:30:45.5",
    "190:20:30",
    "2024-01-01",
    "2024-1-1T10:00:00Z",
    "2024-01-01 10:00:00",
    ".inf",
    "-.Inf",
    ".NaN",
    "y",
    "N",
    "yes",
    "No",
    "ON",
    "off",
    "true",
    "FALSE",
    "null",
    "Null",
    "~",
    "",
    "<<",
    "=",
    "a: b",
    "#a",
    "- a",
    "*a",
    "!a",
    " a ",
    "a\nb\n",
]


@pytest.mark.parametrize("text", ODD)
def test_a_text_that_looks_like_something_else_is_quoted(text):
    said = dump({"a": text})

    assert said[3] in "'\"|"
    assert yaml.safe_load(said) == {"a": text}


@pytest.mark.parametrize("text", ["10001:10001", "127.0.0.1", "..", "512m", "a1", "no-new-privileges:true", "1.2.3", "10s", "east", "e3"])
def test_a_plain_text_stays_plain(text):
    assert dump({"a": text}) == f"a: {text}\n"


@pytest.mark.docker
def test_compose_takes_every_text_as_it_is(tmp_path):
    environment = {f"A{number}": text for number, text in enumerate(ODD)}
    (tmp_path / "compose.yaml").write_text(dump({"services": {"a": {"image": "x", "command": ODD, "environment": environment}}}))
    said = subprocess.run(
        ["docker", "compose", "--file", tmp_path / "compose.yaml", "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    service = json.loads(said.stdout)["services"]["a"]
    assert service["environment"] == environment
    assert service["command"] == ODD
