"""What the publisher of a package says of its variables: which it needs, which it can do without. Pure: texts in, variables out.

The evidence, the strongest first: a `server.json` in the package; the words "required", "optional" and "default" in tables, lists and examples
of an `.env`; the configurations of clients that a README shows, of which the first is what the publisher would have everybody set. Of what
these leave open nothing is guessed.
"""

import json
import re
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from typing import TypedDict

from bridge.fleet.adding.draft import holds_secret
from bridge.fleet.adding.key_files import A_KEYS_FILE
from bridge.fleet.adding.trial.client_examples import (
    ASSIGNED,
    FEW,
    LONGEST,
    MANY,
    UPPER,
    WIDTH,
    Shown,
    assigned,
    examples,
    in_links,
    is_called_like,
    lines_of_a_shell,
)
from bridge.fleet.adding.trial.wording import CONDITION, OPTIONAL, says

LISTED = re.compile(
    r"^\s*(?:[-*+•]|\d+\.|#{2,6}(?= [`*_]*[A-Z0-9]+_[A-Z0-9_]+[`*_]*\W*(?:\(|$)))\s+(?:\[.\]\s*)?[`*_\"]*(?P<name>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[`*_\"]*(?P<rest>.*)$"
)
AND_MORE = re.compile(
    r"(?:\s*(?:,|/|\||\bor\b|\band\b|&|\+)+\s*(?:or\s+|and\s+)?[`*_\"]*[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+[`*_\"]*)+"
)  # of one item
HEADING = re.compile(
    r"^\s*(?:#{1,6}\s+(?P<a>.+)|\*\*(?P<b>[^*]+)\*\*:?\s*$|(?P<c>[A-Z][\w /,()-]{3,60}):\s*$|//\s*(?P<d>.+)|#\s*(?P<e>.+))"
)
# What stands in an example for the name of any variable.
A_STAND_IN = re.compile(
    r"(?:(?:MY|YOUR|SOME|ANY|OTHER|ANOTHER)_)?(?:ENV(?:IRONMENT)?_)?VAR(?:IABLE)?(?:_(?:NAME|[A-Z]|\d+))?"
    r"|(?:MY|YOUR|SOME|EXAMPLE)_(?:\w+_)?(?:ENV|KEY|NAME|SECRET|TOKEN|VALUE)|FOO|BAR|KEY\d?|NAME|VALUE"
)
# In prose, of settings that one may leave alone; of keys and addresses that says less.
MAY_BE_SET = re.compile(
    r"\byou (?:can|may) (?:also |optionally )?(?:specify|set|provide)\b|\bif (?:both|neither|all|it|they|none)\b[^.]{0,20}\b(?:empty|unset|not set|omitted)\b"
    r"|\bif (?:both |either |only )?`?[A-Z][A-Z0-9]*_[A-Z0-9_]+`?(?: (?:and|or) `?[A-Z0-9_]+`?)? (?:is|are) (?:set|empty|specified|provided|given|unset|not \w+)\b",
    re.IGNORECASE,
)
IS_OPTIONAL = re.compile(rf"^(?!\s*[-*] ).*?`?\b({UPPER.pattern})\b`?(?: \w+){{0,2}} (?:is|are) \**optional\b", re.IGNORECASE)
OR_IT_FAILS = re.compile(r"\b(?:fail|error|exit|refus|must|requir|mandatory|won't|will not|can ?not|can't|does(?:n't| not))", re.IGNORECASE)
# Of a heading that is about nothing else: "Optional", "Optional (may be given by tools):", "Optional settings".
OPTIONAL_ONES = re.compile(
    r"^\W*optional\b(?:\W*$|\W*\(|\W*(?:[\w-]+ ){0,2}(?:variables?|settings?|parameters?|configurations?|env\w*)\W*$)", re.IGNORECASE
)
REQUIRED_ONES = re.compile(
    r"(?:^|[^\w\s]\s*|\b(?:is|are|variables?|settings?|keys?) )(?:required|mandatory|must be set|necessary)\b", re.IGNORECASE
)  # of a heading
# Of keys that stand for each other, in what stands above them or names them.
ONE_IS_ENOUGH = re.compile(
    r"^(?!\W*[|]).*\b(?:pick|choose|set|provide|needs?|requires?|configure|use|at least)\b.{0,20}\b(?:one(?! (?:at|in|on)\b)|either)\b"
    r"|^(?!\W*[|]).*\bfor (?:the |each |any |whichever )?(?:LLM )?(?:providers?|services?|models?) (?:that )?you\b",
    re.IGNORECASE,
)
OR = re.compile(r"\W*\bor\b\W*")
AN_ASSIGNMENT = re.compile(r"\s*(?:export )?[A-Z][A-Z0-9_]+=")
OF_KEYS = re.compile(r"\b(?:credentials?|(?:api )?keys?|tokens?|auth\w*|variables?)\b", re.IGNORECASE)
WITH_DEFAULT = re.compile(r"""\bdefaults?(?: to| is|:|=| (?=[`"']))[ `*"']*([^\s`"',;()]+)""", re.IGNORECASE)
# Of a variable of what this is not: a server that clients reach by HTTP, or that runs on somebody's desk.
REMOTE = re.compile(
    r"^\W*(?:macOS|Windows)\b[: ]|\b(?:macOS|Windows)[ -]only\b|\b(?:SSE|HTTP)\b.{0,20}\b(?:transports?|servers?|mode|endpoint|auth\w*|clients?)\b|\bstreamable|\btransports?\b.{0,20}\b(?:SSE|HTTP)\b",
    re.IGNORECASE,
)
OF_A_SERVICE = re.compile(
    rf"{REMOTE.pattern}|\bremote\b.{{0,20}}\b(?:servers?|mode|transport|deploy\w*)\b|\b(?:SSE|HTTP)\W*$", re.IGNORECASE
)  # the same of a heading
A_PATH = re.compile(r"^[^.\w]*(?:\w+ ){0,2}(?:file ?)?path (?:to|of) |^[^.\w]*path\b[^.\w]*file\b", re.IGNORECASE)  # how it begins
PATH = re.compile(r"(_PATH|_BIN|_BINARY|_EXE|_EXECUTABLE)$")
A_PROGRAM = re.compile(r"\b(?:executable|binary|native library)\b|\.(?:exe|dylib|dll)\b", re.IGNORECASE)
UNDER_A_CONDITION = re.compile(
    r"[*†¹]|\b(?:if|when|for|only|unless|with|without|or|in|conditional\w*|to (?:activate|enable|unlock))\b", re.IGNORECASE
)  # in a column of yes and no
IN_THAT_CASE = re.compile(r"\W*(?:for|if|when|only)\b", re.IGNORECASE)  # there as well: in no other
YES = re.compile(r"^\W*(?:是|必|はい|예|yes|required|true|mandatory|y|stdio(?= *$)|✓|✔|✅|☑)|[✓✔✅☑]", re.IGNORECASE)
NO = re.compile(
    r"^\W*(?:否|可选|選填|选填|任意|いいえ|아니|no|optional|false|n|✗|✘|❌|-|–|—)?\W*$|^\W*(?:no|optional|false)\b|[✗✘❌]", re.IGNORECASE
)
NOTHING = re.compile(r"^(?:[^\w\"']|_)*(?:none|null|nil|n/?a|required|empty|_?(?:not |un)set_?|undefined)?(?:[^\w\"']|_)*$", re.IGNORECASE)
NO_DEFAULT = re.compile(r"[\W_]*")  # a dash, or nothing
# What goes with a key: without it that is of no use.
WITH_A_KEY = re.compile(r"_(UR[IL]|HOST|ENDPOINT|USER|USERNAME|EMAIL|ACCOUNT|DOMAIN|SITE|(?:CLIENT|TENANT|TOKEN|KEY)_(?:ID|NAME))$")
# Commands by which a person logs in, and what is kept of that.
SURELY_BY_HAND = re.compile(r"(?:auth|login|log-in|authenticate|authorize|signin|sign-in|auth[:-]?login)", re.IGNORECASE)
BY_HAND = re.compile(rf"{SURELY_BY_HAND.pattern}|setup|init|configure", re.IGNORECASE)


class Variable(TypedDict):
    name: str
    needed: bool | None  # None: it is only named
    said: bool  # in words, and not only by what is shown
    value: str  # as it is shown
    default: str
    shown: bool  # in a client's configuration
    first: bool  # in the first of these
    path: str  # of what it is the path, as is said of it: "file", "program", or empty
    one_of: bool  # one of these is enough
    instead: list[list[str]]  # what other configurations set in its place


@dataclass
class _Said:
    """`words` of its own line count before `hints`: what stands above it, or beside a value that an example sets."""

    words: dict[str, bool] = field(default_factory=dict)
    hints: dict[str, bool] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)  # defaults, or what an example has
    remote: set[str] = field(default_factory=set)
    here: set[str] = field(default_factory=set)  # what is spoken of apart from a server for clients elsewhere
    paths: dict[str, str] = field(default_factory=dict)

    def about(self, name: str, text: str) -> None:
        """What is said of it beside that."""
        self.remote |= {name} if REMOTE.search(text) else set()
        if of := "program" if A_PROGRAM.search(text) and PATH.search(name) else "file" if A_PATH.search(text) else "":
            self.paths.setdefault(name, of)

    def add(self, name: str, word: bool | None, value: str = "", hint: bool | None = None) -> None:
        """The first word counts."""
        for words, one in ((self.words, word), (self.hints, hint)):
            if one is not None:
                words.setdefault(name, one)
        self.values[name] = self.values.get(name) or value

    def of(self, name: str) -> bool | None:
        return self.words.get(name, self.hints.get(name))


def variables(readme: str, package: str, environment: str = "", server: str = "") -> list[Variable]:
    """Those of a README, of an example of an `.env`, and of a server.json, the first ones first."""
    readme = readme[:LONGEST] + in_links(readme[:LONGEST])
    every = list(examples(readme, package))
    if not any(shown.values for shown in every):
        every += lines_of_a_shell(readme, package)
    said = _Said()
    _by_its_server_json(said, server)
    _by_words(said, readme)
    _by_words(said, environment[:LONGEST], is_of_a_shell=True)
    for shown in every:
        for name, word in shown.words.items():
            said.add(name, word)
    whole = [shown for shown in every if shown.whole]
    every = [shown for shown in every if shown.whole or not shown.values or _belongs(shown, whole)]
    lead = _lead(whole, every)
    remote = (
        said.remote - {name for shown in whole for name in shown.values} - {name for name in lead.values if is_called_like(package, name)}
    )
    spoken = _spoken_ways(readme)
    named = [*lead.values, *(name for shown in every for name in shown.values), *said.values]
    named += [name for first, way in spoken for name in way if first in lead.values]
    names = dict.fromkeys(name for name in named if name not in remote and not A_STAND_IN.fullmatch(name))
    choices = {name for name in _choices(readme) if name in names and not said.words.get(name)}
    choices = choices if sum(map(holds_secret, choices)) > 1 else set()
    return [
        Variable(
            name=name,
            needed=_needed(name, said, lead, whole, every) if name not in choices else False,
            said=said.of(name) is not None and said.of(name) == _needed(name, said, lead, whole, every),
            value=next((shown.values[name] for shown in (lead, *every) if shown.values.get(name)), ""),
            default=said.values.get(name, ""),
            shown=any(name in shown.values for shown in every),
            first=name in lead.values,
            path=said.paths.get(name, ""),
            one_of=name in choices,
            instead=[*_instead(name, lead, whole), *(way for first, way in spoken if first == name)],
        )
        for name in names
    ]


def only_elsewhere(readme: str) -> set[str]:
    """The variables that a README only speaks of where it is about a server for clients elsewhere."""
    said = _Said()
    _by_words(said, readme[:LONGEST])
    return said.remote - said.here


def left_out(name: str, default: str) -> Variable:
    """One that only the code knows, which has a value for it."""
    return Variable(
        name=name, needed=False, said=False, value="", default=default, shown=False, first=False, path="", one_of=False, instead=[]
    )


def _choices(readme: str) -> set[str]:
    """The variables of which its README says that one is enough: those of that line, or of the list, table or block right below."""
    found: set[str] = set()
    lines = [line[:WIDTH] for line in readme.splitlines()]
    for at, line in enumerate(lines):
        if not (ONE_IS_ENOUGH.search(line) and OF_KEYS.search(line)):
            continue
        below = list(dropwhile(lambda one: not one.strip(), lines[at + 1 : at + MANY]))
        if below and below[0].startswith("```"):
            block = list(takewhile(lambda one: not one.startswith("```"), below[1:]))
        elif below and AN_ASSIGNMENT.match(below[0]):  # in a block of lines itself
            block = list(takewhile(str.strip, below))
        else:
            block = list(takewhile(lambda one: one.lstrip().startswith(("|", "-", "*")), below))
        own = set(UPPER.findall(line))
        listed = {name for one in block for name in UPPER.findall(one)[:1]}
        found |= own if len(own) > 1 else listed
    return found


def _lead(whole: list[Shown], every: list[Shown]) -> Shown:
    """The first: what everybody would set."""
    plain = [one for one in whole if not one.aside] or whole
    if sum(not one.values for one in plain) * FEW < len(plain):
        plain = [one for one in plain if one.values]
    return next(iter([*plain, *(one for one in every if one.values)]), Shown({}, {}, True))


def _instead(name: str, lead: Shown, whole: list[Shown]) -> list[list[str]]:
    """Of what the first sets: what those set that have another key, and not this one."""
    others = [shown.values for shown in whole if name in lead.values and name not in shown.values]
    ways = [[one for one in values if one not in lead.values] for values in others]
    return [way for way in ways if any(holds_secret(one) or A_KEYS_FILE.search(one) for one in way)]


def _spoken_ways(readme: str) -> list[tuple[str, list[str]]]:
    """A key, and what prose names as another way beside it: "set A_TOKEN, or both A_USER and A_PASSWORD"."""
    found = []
    for paragraph in "\n".join(readme.split("```")[::2]).split("\n\n"):
        prose = " ".join(line[:WIDTH] for line in paragraph.splitlines() if not line.lstrip().startswith("|"))
        for sentence in re.split(r"(?<=[.!?;:])\s", prose):
            first, *others = [names for part in OR.split(sentence) if (names := UPPER.findall(part))] or [[]]
            found += [(first[0], way) for way in others if len(first) == 1 and any(map(holds_secret, way))]
    return [(first, way) for first, way in found if holds_secret(first) and first not in way]


def _belongs(part: Shown, whole: list[Shown]) -> bool:
    """Whether a block that starts nothing speaks of the variables of this server, as far as whole configurations tell."""
    firsts = {name.partition("_")[0] for one in whole for name in one.values}
    return not firsts or any(name.partition("_")[0] in firsts for name in part.values)


def _needed(name: str, said: _Said, lead: Shown, whole: list[Shown], every: list[Shown]) -> bool | None:
    if name in lead.values:
        if name in said.words:
            return said.words[name]
        if (lead.aside and not lead.whole) or (said.hints.get(name) is False and not lead.values[name]):
            return False
        # Who shows a configuration that has less, and nothing in its place, says that it does without; unless that is one of many.
        less = [other for other in whole if name not in other.values and set(other.values) <= set(lead.values)]
        return len(less) * FEW < sum(name in other.values for other in whole) if less else True
    if (word := said.of(name)) is not None:
        return None if word and lead.whole and lead.values else word  # in a table of all that there is, some are for another mode
    return False if any(name in shown.values for shown in every) else None


# ---- tables, lists and lines -----------------------------------------------------------


def _by_words(said: _Said, text: str, is_of_a_shell: bool = False) -> None:
    lines = _Lines(said, is_of_a_shell)
    for line in text.splitlines():
        lines.read(line[:WIDTH].removeprefix("> "))
    lines.end_table()


@dataclass
class _Lines:
    """Those of a text, one after the other, each under its heading or in its table."""

    said: _Said
    is_of_a_shell: bool
    heading: bool | None = None  # what it says of all below it
    is_optional: bool = False  # a heading or a comment that says nothing else
    is_fenced: bool = False
    elsewhere: int = 0  # the level of a heading of a server for clients elsewhere
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def read(self, line: str) -> None:
        stripped = line.strip()
        self.is_fenced ^= stripped.startswith("```")
        self._place(line)
        if not stripped.startswith("|"):
            self.end_table()
        if stripped.startswith("|"):
            self._row(stripped)
        elif found := LISTED.match(line):
            self._item(found["name"], found["rest"])
        elif ASSIGNED.match(line):
            self._assignments(line)
        elif found := HEADING.match(line):
            self._heading(next(one for one in found.groups() if one is not None))
        elif not self.is_fenced:
            self._prose(line)

    def _place(self, line: str) -> None:
        stripped, names = line.strip(), UPPER.findall(line)
        level = 0 if self.is_fenced else len(stripped) - len(stripped.lstrip("#"))
        if level and not 0 < self.elsewhere < level:
            self.elsewhere = level if OF_A_SERVICE.search(stripped) else 0
        if self.elsewhere:
            self.said.remote.update(name for name in names if name not in self.said.values)
        else:
            self.said.here.update(names)

    def _row(self, line: str) -> None:
        cells = [cell.strip() for cell in line.replace("**", "").strip("|").split("|")]
        self.columns = self.columns or [cell.lower() for cell in cells]
        _by_row(self.said, cells, self.columns, self.heading)
        self.rows.append(cells)

    def end_table(self) -> None:
        _by_defaults(self.said, self.rows, self.columns)
        self.columns, self.rows = [], []

    def _item(self, name: str, rest: str) -> None:
        word, hint = says(rest)
        word = False if word is None and self.is_optional else word
        default, more = WITH_DEFAULT.search(rest), AND_MORE.match(rest)
        for one in dict.fromkeys([name, *UPPER.findall(more[0] if more else "")]):
            self.said.add(one, word, default[1].rstrip(".") if default else "", self.heading if hint is None else hint)
            self.said.about(one, rest)

    def _assignments(self, line: str) -> None:
        for found in assigned(line):
            word, hint = (False, None) if found["off"] else says(found["rest"])
            hint = hint if word is None else word
            is_told = not found["off"] and (self.is_optional or word is False)  # else that is but a hint
            self.said.about(found["name"], found["rest"].partition("#")[2])
            self.said.add(found["name"], False if is_told else None, hint=self.heading if hint is None else hint)

    def _heading(self, title: str) -> None:
        is_for_all = REQUIRED_ONES.search(title) and not CONDITION.search(title)
        self.heading = False if OPTIONAL.search(title) else True if is_for_all else None
        is_comment = (self.is_fenced or self.is_of_a_shell) and title.lower().startswith("optional")  # on the lines below it
        self.is_optional = is_comment or bool(OPTIONAL_ONES.search(title))

    def _prose(self, line: str) -> None:
        may_be_set = [] if OR_IT_FAILS.search(line) else filter(MAY_BE_SET.search, re.split(r"(?<=[.!?])\s", line))
        for name in (name for sentence in may_be_set for name in UPPER.findall(sentence)):
            self.said.add(name, None if holds_secret(name) or WITH_A_KEY.search(name) else False)
        if found := IS_OPTIONAL.match(line):
            self.said.add(found[1], False)


def _by_row(said: _Said, cells: list[str], columns: list[str], heading: bool | None) -> None:
    names = UPPER.findall(cells[0].replace("\\_", "_"))
    if not names or not re.match(r"[\s`*_\[]*[A-Za-z]", cells[0]):
        return
    word: bool | None = None
    hint: bool | None = None
    default = ""
    for title, cell in zip(columns, cells, strict=False):
        if re.search(r"requir|mandatory|needed|必|필수", title):
            is_yes = YES.search(cell) and not UNDER_A_CONDITION.search(cell)
            is_no = NO.search(cell) or IN_THAT_CASE.match(cell)
            word, hint = (True, None) if is_yes else (False, None) if is_no else (None, False)
        elif re.search("optional|可选", title) and word is None:
            word = False if YES.search(cell) else True if NO.search(cell) else None
        elif re.search("default|默认|預設|デフォルト|기본", title) and not NOTHING.match(cell):
            default = cell.strip("` *\"'") or '""'
    if word is None and hint is None:
        word, hint = says(" ".join(cells[1:]))
        hint = False if word is None and default else hint
    for name in names:
        said.add(name, word, default, heading if hint is None else hint)
        for text in (" ".join(cells[1:]), *cells[1:]):
            said.about(name, text)


def _by_defaults(said: _Said, rows: list[list[str]], columns: list[str]) -> None:
    """Of a table that only says what is where nothing is set: a key for which that is nothing is needed, and what goes with it."""
    at = next((at for at, title in enumerate(columns) if title.startswith("default")), -1)
    if at < 0 or any(re.search(r"requir|mandatory|needed|optional", title) for title in columns):
        return
    every = [(cells, UPPER.findall(cells[0])) for cells in rows[1:] if len(cells) == len(columns)]
    bare = [name for cells, names in every if NO_DEFAULT.fullmatch(cells[at]) for name in names]
    keys = {name.partition("_")[0] for name in bare if holds_secret(name)}
    if keys and len(bare) < sum(len(names) for _, names in every):
        for name in bare:
            if name.partition("_")[0] in keys and (holds_secret(name) or WITH_A_KEY.search(name)):
                said.hints.setdefault(name, True)


def _by_its_server_json(said: _Said, text: str) -> None:
    try:
        packages = json.loads(text)["packages"] if text else []
        every = [one for package in packages for one in package.get("environmentVariables") or package.get("environment_variables") or []]
        for one in every:
            said.add(str(one["name"]), bool(one.get("isRequired", one.get("is_required"))), str(one.get("default") or ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
