"""Of all that a program printed, the line that says why it failed. Pure.

Programs end with anything: the place of a complete log, the frames of a stack, advice, a closing brace. What matters is
a line that names a mistake; of equally good ones the last, because what came first is often only a warning.
"""

import re

WIDTH = 300
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
BEFORE = re.compile(
    r"""
    (?: \#\d+\ (?:\d+\.\d+\ )?                                  # BuildKit: its step, and the seconds of it
    | \d+\.\d{2,3}\                                            # BuildKit's summary: the seconds
    | \S+\ +\|\ +                                               # Compose: the service
    | stderr:\ +                                                # `mcp-bridge inspect`: what the server said
    | \|\ +                                                     # Python: within an ExceptionGroup
    | (?:ERROR:\ )?failed\ to\ solve:\                           # BuildKit, before the reason
    | (?:npm\ (?:error|ERR!)\ (?:(?:code|notarget|network|enoent|404)\ +)?)+                     # npm, before each line
    | \d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\s+       # a time
    )""",
    re.VERBOSE,
)
NOISE = re.compile(
    r"""
    a\ complete\ log\ of\ this\ run | ^for\ (more|further)\ information | ^(see|try|hint|note|tip)\b:? | ^\[?notice\b | ^node\.js\ v\d
    | ^at\ .+[:(].*\d | ^file\ ".*",\ line\ \d+ | ^traceback\ \( | ^\.\.\.\ \d+\ | ^[\s{}()\[\]^~=_.>|*+-]*$ | ^throw\ | ^npm\ (notice|warn|error$|ERR!$)
    | ^node:internal | ^exit\ code | ^error:\ command\ .*\ failed | ^did\ you\ mean | ^path\ / | ^errno\ -?\d | ^syscall\ | ^during\ handling\ of | ^the\ above\ exception
    | ^goroutine\ \d+\ \[ | ^created\ by\ | \+0x[0-9a-f]+$ | ^[\w./*()-]+\.[\w.*()\[\]-]+\((0x|\{|\.\.\.|\)$)
    | ^------ | ^(dockerfile|[\w/.-]+\.dockerfile):\d+ | ^>>>\ | ^\d+\ \| | ^err(or)?:?\ *$ | ^in\ most\ cases | ^(requested|this\ is|e\d+)\ *$ | ^canceled$
    | ^(gyp\ )?(err!|\[?error\]?)\ not\ ok$
    """,
    re.IGNORECASE | re.VERBOSE,
)
NAMED = re.compile(
    r"^(?:[\w.]+\.)*\w*(?:Error|Exception|Exit|Interrupt|NotFound|Refused)\b(?: \[\w+\])?: \S|^Uncaught |^panic: |^\S+:\d+:\d+: fatal error: |^mcp-bridge inspect: .* answered with"
)
BAD = re.compile(
    r"\b(error|failed|fatal|cannot|can't|could not|couldn't|unable|refused|denied|no such|not found|no matching|missing|required|needs|must|invalid|"
    r"unsatisfiable|no solution|no space|killed|out of memory|does not exist|not permitted|unknown|unrecognized|exited|exception|mismatch|do not match|404)\b|×",
    re.IGNORECASE,
)
VALIDATION = re.compile(r"\d+ validation errors? for \w+$")  # pydantic names the first field and its mistake in the two lines that follow
LAST_RESORT = re.compile(r"^(target \S+: failed|process \"|command failed|error: process)", re.IGNORECASE)


def why(printed: str) -> str:
    """The line that says why; empty if nothing was printed that says anything."""
    lines = [line for raw in printed.splitlines() if (line := _bare(raw)) and not NOISE.search(line)]
    for says in (
        _names_it,
        lambda line: BAD.search(line) and not LAST_RESORT.search(line),
        lambda line: not LAST_RESORT.search(line),
        bool,
    ):
        if found := [number for number, line in enumerate(lines) if says(line)]:
            more = 3 if VALIDATION.search(lines[found[-1]]) else 8 if lines[found[-1]].endswith((": [", ": {")) else 1
            return ": ".join(lines[found[-1] : found[-1] + more])[:WIDTH]
    return ""


def _names_it(line: str) -> bool:
    return bool(NAMED.search(line)) and not LAST_RESORT.search(line)


def plain(text: str) -> str:
    """Without the control sequences with which Compose and servers move a terminal's cursor and colour it."""
    return CONTROL.sub("", text)


def _bare(line: str) -> str:
    """Without colours, and without what its writer puts before each line."""
    line = plain(line).strip()
    while found := BEFORE.match(line):
        line = line[found.end() :].strip()
    return line
