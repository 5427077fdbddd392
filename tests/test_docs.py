"""What the pages say about the code is true: generated ones are fresh, links, files, options and commands exist."""

import argparse
import re
from pathlib import Path

import pytest
from support import reference

from bridge import cli

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]+)?\)")
FILE = re.compile(r"`((?:bridge|tests|compose|images|litellm|docs|\.ci)/[\w./-]+\.(?:py|md|yaml|yml|json|txt))`")
COMMAND = re.compile(r"\bmcp-bridge ([a-z]+)\b")
OF_OPERATORS = {"images/fleet.yaml"}
OF_OTHERS = {"--version", "--api-key", "--cidfile", "--rm", "--quick"}  # options of programs that are not ours, and of argparse
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]+)")


@pytest.mark.parametrize("page", reference.PAGES)
def test_a_generated_page_is_fresh(page):
    assert (ROOT / "docs" / page).read_text() == reference.PAGES[page](), "PYTHONPATH=tests python -m support.reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    lost = [target for target, _ in LINK.findall(page.read_text()) if not (page.parent / target).exists()]

    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_pages_lead_to_headings(page):
    lost = []
    for target, anchor in re.findall(r"\]\(([\w./-]*\.md)?#([^)\s]+)\)", page.read_text()):
        text = (page.parent / target).read_text() if target else page.read_text()
        if anchor not in {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text.splitlines() if line[:1] == "#"
        }:
            lost.append(f"{target}#{anchor}")

    assert lost == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    lost = [
        name for name in FILE.findall(page.read_text()) if "NAME" not in name and name not in OF_OPERATORS and not (ROOT / name).exists()
    ]

    assert lost == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_commands_and_options_that_are_named_exist(page):
    text = page.read_text()
    commands = set(COMMAND.findall(" ".join(re.findall(r"`[^`]*`|```.*?```", text, re.DOTALL)))) - {"fleet"}
    options = {
        option for line in re.findall(r"mcp-bridge [^`\n]*|`--[^`\n]*`", text) for option in OPTION.findall(line.partition(" -- ")[0])
    }

    assert commands - set(known()) == set()
    assert options - OF_OTHERS - set().union(*known().values()) == set()


def test_each_test_that_the_page_on_security_names_exists():
    """A claim without its test is none."""
    text = (ROOT / "docs/security.md").read_text()
    there = {name for path in ROOT.glob("tests/**/test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}

    assert set(re.findall(r"`(test_\w+)`", text)) - there == set()
    assert len(re.findall(r"`(?:tests/\S+|test_\w+)`", text)) > 20


def known() -> dict[str, set[str]]:
    """The options of each command."""
    found = {}
    for name in _commands(cli._parser([])):
        command = _commands(cli._parser([name]))[name]
        found[name] = _options(command)
    return found


def _options(command: argparse.ArgumentParser) -> set[str]:
    """Those of its own commands included."""
    below = [_options(child) for child in _commands(command).values()]
    return {option for action in command._actions for option in action.option_strings}.union(*below)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next((action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)), {})


def test_what_the_architecture_names_is_in_the_code():
    code = "\n".join(path.read_text() for path in (ROOT / "bridge").rglob("*.py"))
    named = re.findall(r"`([A-Z]\w+)(?:\.(\w+))?`", (ROOT / "docs" / "architecture.md").read_text())
    lost = {name for name, _ in named if not re.search(rf"^\s*class {name}\b", code, re.M)} - {"DONE"}
    lost |= {method for _, method in named if method and not re.search(rf"^\s*(async )?def {method}\b", code, re.M)}

    assert lost == set()
