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
