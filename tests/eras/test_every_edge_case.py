"""docs/protocol.md, section 5, is a list of 70 edge cases; a test says in its docstring which of them it is."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
CASES = {
    int(number)
    for number in re.findall(r"^(\d+)\. ", (TESTS.parent / "docs" / "protocol.md").read_text().partition("\n## 5. ")[2], re.MULTILINE)
}
NAMED = re.compile(r"[Ee]dge cases? ((?:\d+(?:, | and )?)+)")


def test_every_edge_case_has_a_test_that_names_it():
    named = {
        int(number)
        for file in TESTS.rglob("test_*.py")
        for found in NAMED.findall(file.read_text())
        for number in re.findall(r"\d+", found)
    }

    assert len(CASES) == 70
    assert CASES - named == set()


def test_every_citation_leads_into_the_page():
    """Of an edge case by its number, and of a section: in the code and in the tests."""
    page = (TESTS.parent / "docs" / "protocol.md").read_text()
    sections = set(re.findall(r"^##+ ([\d.]+\d|\d)\b", page, re.MULTILINE))
    lost = []
    for file in [*TESTS.rglob("*.py"), *(TESTS.parent / "bridge").rglob("*.py")]:
        text = file.read_text()
        cited = {int(number) for found in NAMED.findall(text) for number in re.findall(r"\d+", found)}
        lost += [f"{file}: edge case {number}" for number in cited - CASES]
        lost += [f"{file}: {section}" for section in re.findall(r"docs/protocol\.md,? (\d(?:\.\d)?)\b", text) if section not in sections]
        lost += [
            f"{file}: {words}"
            for words in re.findall(r"\b(?<!dge )[Cc]ases? \d+\b|\b(?:PROTOCOL|LITELLM|SERVERS|PEERS|DOCKER)\.md\b|\b[Rr]ules? \d+\b", text)
        ]

    assert lost == []
