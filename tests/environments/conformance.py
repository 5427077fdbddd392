"""Run the official conformance suite against a URL and read what it found.

``python -m environments.conformance URL`` (in tests/) prints every check that is not a success, and the totals;
with ``--requirements 2026-07-28`` those of the suite's next edition for a revision.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .processes import run as run_command
from .suite import conformance_suite, conformance_suite_2

# Each scenario has a folder, whose name ends with the moment when it began.
FOLDER = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
FAILURE, WARNING, SUCCESS, INFO = "FAILURE", "WARNING", "SUCCESS", "INFO"
WORST_FIRST = (FAILURE, WARNING, SUCCESS)


@dataclass(frozen=True)
class Results:
    checks: dict[tuple[str, str], str]  # (scenario, check id): FAILURE, WARNING, SUCCESS, INFO or SKIPPED
    seconds: float
    output: str
    errors: dict[tuple[str, str], str]  # what the suite says of those that are no success

    def having(self, status: str) -> set[tuple[str, str]]:
        return {check for check, its in self.checks.items() if its == status}


def run(
    url: str, out_dir: Path, suite: str = "all", scenario: str | None = None, requirements: str | None = None, timeout: float = 300
) -> Results:
    """Run a suite ("active", "all", "pending"), one scenario, or what a revision requires, by the next edition.

    Its files stay in a new folder in `out_dir`. A scenario with `requirements` is run by that edition, at that revision.
    The URL's host must be localhost or 127.0.0.1, or the DNS rebinding scenario judges the wrong thing.
    """
    command = [*(conformance_suite_2() if requirements else conformance_suite()), "server", "--url", url]
    selection = ["--requirements", requirements] if requirements else ["--suite", suite]
    if scenario:
        selection = ["--scenario", scenario] + (["--spec-version", requirements] if requirements else [])
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    results = Path(tempfile.mkdtemp(prefix="conformance-", dir=out_dir))

    began = time.monotonic()
    # 1: some check failed
    output = run_command([*command, *selection, "--output-dir", results], timeout, codes=(0, 1))
    seconds = time.monotonic() - began

    checks: dict[tuple[str, str], str] = {}
    errors: dict[tuple[str, str], str] = {}
    for file in results.glob("*/checks.json"):
        name = FOLDER.fullmatch(file.parent.name)["scenario"]
        for check in json.loads(file.read_text()):
            key = (name, check["id"])
            # An id may come several times in a scenario.
            checks[key] = min(check["status"], checks.get(key, check["status"]), key=_badness)
            if message := check.get("errorMessage"):
                errors[key] = message
    if not checks:
        raise RuntimeError(f"the conformance suite left no results\n{output[-3000:]}")
    return Results(checks, seconds, output, errors)


def _badness(status: str) -> int:
    return WORST_FIRST.index(status) if status in WORST_FIRST else len(WORST_FIRST)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m environments.conformance", description=__doc__.split("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--suite", default="all")
    parser.add_argument("--scenario")
    parser.add_argument("--requirements", metavar="REVISION")
    parser.add_argument("--out", default=tempfile.gettempdir(), type=Path, help="where the suite's files go")
    options = parser.parse_args()

    results = run(options.url, options.out, options.suite, options.scenario, options.requirements)
    for (scenario, check), status in sorted(results.checks.items()):
        if status != SUCCESS:
            print(f"{status:8} {scenario}: {check}  {results.errors.get((scenario, check), '')}")
    failed = results.having(FAILURE)
    print(f"{len(results.having(SUCCESS))} passed, {len(failed)} failed, {results.seconds:.1f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
