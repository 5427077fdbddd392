"""What the publisher of a package says of its variables: which it needs, which it can do without. Pure: texts in, variables out.

The evidence, the strongest first: a `server.json` in the package; the words "required", "optional" and "default" in tables, lists and examples
of an `.env`; the configurations of clients that a README shows, of which the first is what the publisher would have everybody set. Of what
these leave open nothing is guessed.
"""

import base64
import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from typing import TypedDict
from urllib.parse import unquote

from bridge.fleet.adding.draft import holds_secret, is_blank

LONGEST = 400_000  # characters of a README that are looked at
WIDTH = 600  # of a line
OBJECT = 6000  # of a client's configuration
MANY = 200  # of these
NAME = r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*"
UPPER = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
COMMAND = re.compile(r"""["']?command["']?\s*[:=]\s*["'\[]""")
ENV = re.compile(r"""["']?\b(?:env|environment)["']?\s*[:=]\s*\{""")
ARGUMENTS = re.compile(r"""["']?\bargs["']?\s*[:=]\s*\[([^\[\]]*)\]""")
QUOTED = re.compile(r"""["']([^"'\n]*)["']""")
PAIR = re.compile(
    rf"""(?P<off>//[ \t]*|\#[ \t]*)?["']?\b(?P<name>{NAME})["']?[ \t]*[:=][ \t]*(?:"(?P<a>(?:\\.|[^"\\\n])*)"|'(?P<b>[^'\n]*)'|(?P<c>[\w.-]+))(?P<rest>[^\n]*)"""
)
VALUE = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s\\]*)"""
GIVEN = re.compile(rf"""(?:^|\s)(?:-e|--env)((?:[ =]["']?{NAME}={VALUE})+)""")  # to `claude mcp add` more of them at once
BEFORE = re.compile(rf"(?:env|{NAME}=\S*)(?:\s|$)")  # what starts a program with variables, in its place
# A line of an `.env`, or of a shell.
ASSIGNED = re.compile(
    r"""^[ \t]*(?P<off>\#[ \t]*)?(?:export[ \t]+|set[ \t]+|\$env:)?(?P<name>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[ \t]?=[ \t]?(?P<value>"[^"\n]*"|'[^'\n]*'|<[^<>\n]*>|[^\s#]*)(?P<rest>.*)$"""
)
LISTED = re.compile(
    r"^\s*(?:[-*+•]|\d+\.|#{2,6}(?= [`*_]*[A-Z0-9]+_[A-Z0-9_]+[`*_]*\W*(?:\(|$)))\s+(?:\[.\]\s*)?[`*_\"]*(?P<name>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[`*_\"]*(?P<rest>.*)$"
)
AND_MORE = re.compile(
    r"(?:\s*(?:,|/|\||\bor\b|\band\b|&|\+)+\s*(?:or\s+|and\s+)?[`*_\"]*[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+[`*_\"]*)+"
)  # of one item
HEADING = re.compile(
    r"^\s*(?:#{1,6}\s+(?P<a>.+)|\*\*(?P<b>[^*]+)\*\*:?\s*$|(?P<c>[A-Z][\w /,()-]{3,60}):\s*$|//\s*(?P<d>.+)|#\s*(?P<e>.+))"
)
OPTIONAL = re.compile(
    r"可选|選填|选填|任意|オプション|선택|\boptional(?:ly)?\b|\bnot required\b|\bcan be omitted\b|\bif omitted\b|\bdefaults?(?: to| is|:)? (?:empty|none|unset|not set|null)\b",
    re.IGNORECASE,
)
# Of all that follows, until the next heading.
ALL_OPTIONAL = re.compile(
    r"\(all optional\b|\ball (?:[\w-]+ ){0,3}are \**optional\b(?!\** unless)|\bnone (?:of (?:them|these) )?(?:is|are) required\b",
    re.IGNORECASE,
)
# In prose, of settings that one may leave alone; of keys and addresses that says less.
MAY_BE_SET = re.compile(
    r"\byou (?:can|may) (?:also |optionally )?(?:specify|set|provide)\b|\bif (?:both|neither|all|it|they|none)\b[^.]{0,20}\b(?:empty|unset|not set|omitted)\b"
    r"|\bif (?:both |either |only )?`?[A-Z][A-Z0-9]*_[A-Z0-9_]+`?(?: (?:and|or) `?[A-Z0-9_]+`?)? (?:is|are) (?:set|empty|specified|provided|given|unset|not \w+)\b",
    re.IGNORECASE,
)
OR_IT_FAILS = re.compile(r"\b(?:fail|error|exit|refus|must|requir|mandatory|won't|will not|can ?not|can't|does(?:n't| not))", re.IGNORECASE)
DEFAULT = re.compile(
    r"默认|預設|デフォルト|기본|\bdefaults? (?:to|is|value)\b|\bdefaults?[`*]*\s?[:=(`]|\(default\b|\bdefault\)|\bby default\b|\bif (?:not|un)set\b|\boverrides?\b",
    re.IGNORECASE,
)
REQUIRED = re.compile(r"必填|必须|必需|必須|필수|\b(?:required|mandatory|must be set|necessary)\b", re.IGNORECASE)
REQUIRED_ONES = re.compile(
    r"(?:^|[^\w\s]\s*|\b(?:is|are|variables?|settings?|keys?) )(?:required|mandatory|must be set|necessary)\b", re.IGNORECASE
)  # of a heading
# Needed by some, or by what a fleet does not use.
CONDITION = re.compile(
    r"\b(?:required|mandatory|necessary)\b[^.|\n]{0,12}\b(?:if|when|for|only|unless|with|in|by|to|on)\b|\bone of\b|\beither\b|\balternative\b|\binstead of\b|\bor\b[ `*]*[A-Z]+_[A-Z_]+",
    re.IGNORECASE,
)
# Of keys that stand for each other, in what stands above them or names them.
ONE_IS_ENOUGH = re.compile(
    r"^(?!\W*[|]).*\b(?:pick|choose|set|provide|needs?|requires?|configure|use|at least)\b.{0,20}\b(?:one|either)\b", re.IGNORECASE
)
AT_LEAST_ONE = re.compile(r"\bat least one\b", re.IGNORECASE)
AN_ASSIGNMENT = re.compile(r"\s*(?:export )?[A-Z][A-Z0-9_]+=")
OF_KEYS = re.compile(r"\b(?:credentials?|(?:api )?keys?|tokens?|auth\w*|variables?)\b", re.IGNORECASE)
IN_SOME_CASES = re.compile(r"\((?:for|if|when|only)\b", re.IGNORECASE)
WITH_DEFAULT = re.compile(r"""\bdefaults?(?: to| is|:|=| (?=[`"']))[ `*"']*([^\s`"',;()]+)""", re.IGNORECASE)
# Of a variable of what this is not: a server that clients reach by HTTP, or that runs on somebody's desk.
REMOTE = re.compile(
    r"^\W*(?:macOS|Windows)\b[: ]|\b(?:SSE|HTTP)\b.{0,20}\b(?:transports?|servers?|mode|endpoint|auth\w*|clients?)\b|\bstreamable|\btransports?\b.{0,20}\b(?:SSE|HTTP)\b",
    re.IGNORECASE,
)
A_PATH = re.compile(r"^[^.\w]*(?:\w+ ){0,2}(?:file ?)?path (?:to|of) |^[^.\w]*path\b[^.\w]*file\b", re.IGNORECASE)  # how it begins
PATH = re.compile(r"(_PATH|_BIN|_BINARY|_EXE|_EXECUTABLE)$")
A_PROGRAM = re.compile(r"\b(?:executable|binary|native library)\b|\.(?:exe|dylib|dll)\b", re.IGNORECASE)
UNDER_A_CONDITION = re.compile(
    r"[*†¹]|\b(?:if|when|for|only|unless|with|without|or|in|conditional\w*|to (?:activate|enable|unlock))\b", re.IGNORECASE
)  # in a column of yes and no
YES = re.compile(r"^\W*(?:是|必|はい|예|yes|required|true|mandatory|y|stdio(?= *$)|✓|✔|✅|☑)|[✓✔✅☑]", re.IGNORECASE)
NO = re.compile(
    r"^\W*(?:否|可选|選填|选填|任意|いいえ|아니|no|optional|false|n|✗|✘|❌|-|–|—)?\W*$|^\W*(?:no|optional|false)\b|[✗✘❌]", re.IGNORECASE
)
NOTHING = re.compile(r"^(?:[^\w\"']|_)*(?:none|null|nil|n/?a|required|empty|_?(?:not |un)set_?|undefined)?(?:[^\w\"']|_)*$", re.IGNORECASE)
NO_DEFAULT = re.compile(r"[\W_]*")  # a dash, or nothing
# What goes with a key: without it that is of no use.
IN_SOME_CASE = re.compile(
    r"可选|選填|选填|任意|オプション|선택|\b(?:if|when|only|unless|optional(?:ly)?|instead|alternative(?:ly)?|either|overrides?|fallback|legacy|deprecated)\b",
    re.IGNORECASE,
)
WITH_A_KEY = re.compile(r"_(UR[IL]|HOST|ENDPOINT|USER|USERNAME|EMAIL|ACCOUNT|DOMAIN|SITE|(?:CLIENT|TENANT|TOKEN|KEY)_(?:ID|NAME))$")
FETCHES = re.compile(r"(?:^|/)(?:npx|bunx|uvx|pnpx|pipx|pnpm|bun|yarn|uv|npm)(?:\.cmd|\.exe)?$")
RUNS = re.compile(r"(?:node|python[\d.]*|docker|podman|deno|cmd|sh|bash|env|poetry|java|dotnet)?(?:\.exe)?$")
TELLS = re.compile(
    r"--?[\w-]*(?:key|token|secret|pass|user|auth|ur[il]|dsn|host|credential|login|mail|header|connection|profile|config)", re.IGNORECASE
)
OF_AN_OPERATOR = re.compile(r"your|abc|xyz|123|<", re.IGNORECASE)
# What says which of several ways in is taken.
SELECTS = re.compile(r"(AUTH|AUTHENTICATION|CONNECTION|LOGIN|CREDENTIALS?)_(METHOD|TYPE|MODE|KIND|FLOW)$")
A_SIDE_WAY = re.compile(
    r"\b(?:multi(?:ple)?|advanced|alternative(?:ly)?|optional(?:ly)?|instead of)\b", re.IGNORECASE
)  # in the heading of a configuration
# Commands by which a person logs in, and what is kept of that.
SURELY_BY_HAND = re.compile(r"(?:auth|login|log-in|authenticate|authorize|signin|sign-in|auth[:-]?login)", re.IGNORECASE)
BY_HAND = re.compile(rf"{SURELY_BY_HAND.pattern}|setup|init|configure", re.IGNORECASE)
# Of a block of lines that starts it for clients elsewhere.
SERVES = re.compile(
    r"--(?:transport|mode)[ =](?:sse|http|streamable)|(?<!\S)--(?:http|sse)\b|\b\w*(?:HTTP|SSE)_PORT=|TRANSPORT=[\"']?(?:sse|http|streamable)",
    re.IGNORECASE | re.MULTILINE,
)
RUNS_A_CONTAINER = re.compile(r"\b(?:docker|podman) run\b")
FEW = 4  # of so many configurations, one that has less says nothing
A_PLACE = re.compile(r"^git\+|^[./~]|^[A-Za-z]:[\\/]|\.(?:py|m?js)$")


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
    selects: bool  # it says which of several ways in is taken, and its value goes with the others
    chosen: bool  # everybody sets it, to one of a few words


@dataclass(frozen=True)
class _Shown:
    """A client's configuration. `whole`: it starts the server, and so has all that it must be given."""

    values: dict[str, str]
    words: dict[str, bool]
    whole: bool
    aside: bool = False  # under a heading that says that it is not what everybody sets


@dataclass
class _Said:
    """`words` of its own line count before `hints`: what stands above it, or beside a value that an example sets."""

    words: dict[str, bool] = field(default_factory=dict)
    hints: dict[str, bool] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)  # defaults, or what an example has
    remote: set[str] = field(default_factory=set)
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
    readme = readme[:LONGEST] + _in_links(readme[:LONGEST])
    every = list(_configurations(readme, package))
    if not any(shown.values for shown in every):
        every += _lines_of_a_shell(readme, package)
    else:
        every += _of_a_container(readme, {name for shown in every for name in shown.values})
    said = _Said()
    _by_its_server_json(said, server)
    for text in (readme, environment[:LONGEST]):
        _by_words(said, text)
    for shown in every:
        for name, word in shown.words.items():
            said.add(name, word)
    whole = [shown for shown in every if shown.whole]
    every = [shown for shown in every if shown.whole or not shown.values or _belongs(shown, whole)]
    lead = _lead(whole, every)
    choices = {name for name in _choices(readme) if not said.words.get(name)}
    choices = choices if sum(map(holds_secret, choices)) > 1 else set()
    remote = (
        said.remote - {name for shown in whole for name in shown.values} - {name for name in lead.values if _is_called_like(package, name)}
    )
    named = [*lead.values, *(name for shown in every for name in shown.values), *said.values]
    names = dict.fromkeys(name for name in named if name not in remote)
    return [
        Variable(
            name=name,
            needed=_needed(name, said, lead, whole, every) if name not in choices else False,
            said=said.of(name) is not None,
            value=next((shown.values[name] for shown in (lead, *every) if shown.values.get(name)), ""),
            default=said.values.get(name, ""),
            shown=any(name in shown.values for shown in every),
            first=name in lead.values,
            path=said.paths.get(name, ""),
            one_of=name in choices,
            chosen=name in lead.values and _is_chosen({one.values[name] for one in every if name in one.values}),
            selects=bool(lead.values.get(name) and SELECTS.search(name) and len({one.values.get(name) for one in whole} - {None, ""}) > 1),
        )
        for name in names
    ]


def left_out(name: str, default: str) -> Variable:
    """One that only the code knows, which has a value for it."""
    return Variable(
        name=name,
        needed=False,
        said=False,
        value="",
        default=default,
        shown=False,
        first=False,
        path="",
        one_of=False,
        selects=False,
        chosen=False,
    )


def _is_chosen(values: set[str]) -> bool:
    return 1 < len(values) <= FEW and all(re.fullmatch(r"(?!true$|false$)[A-Za-z][\w-]*", one) and not is_blank(one) for one in values)


def _choices(readme: str) -> set[str]:
    """The variables of which its README says that one is enough: those of that line, or of the list, table or block right below."""
    found: set[str] = set()
    lines = [line[:WIDTH] for line in readme.splitlines()]
    in_words = False  # of services, whose keys are called by no name
    for at, line in enumerate(lines):
        if not (ONE_IS_ENOUGH.search(line) and (OF_KEYS.search(line) or AT_LEAST_ONE.search(line))):
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
        in_words |= not (own or listed) and bool(re.search(r"\bAPI keys?\b", "\n".join(block), re.IGNORECASE))
        found |= own if len(own) > 1 else listed
    return found | {name for name in UPPER.findall(readme) if name.endswith("_API_KEY")} if in_words else found


def _lead(whole: list[_Shown], every: list[_Shown]) -> _Shown:
    """The first: what everybody would set. One that leaves all to a login by hand gives way to one that has a key."""
    plain = [one for one in whole if not one.aside] or whole
    if sum(not one.values for one in plain) * FEW < len(plain):
        plain = [one for one in plain if one.values]
    first = next(iter([*plain, *(one for one in every if one.values)]), _Shown({}, {}, True))
    if any(map(holds_secret, first.values)) or not any(map(SELECTS.search, first.values)):
        return first
    return next((one for one in plain if any(map(holds_secret, one.values)) and not _is_same_way(one, first)), first)


def _is_same_way(one: _Shown, other: _Shown) -> bool:
    return all(other.values.get(name, value) == value for name, value in one.values.items() if SELECTS.search(name))


def _belongs(part: _Shown, whole: list[_Shown]) -> bool:
    """Whether a block that starts nothing speaks of the variables of this server, as far as whole configurations tell."""
    firsts = {name.partition("_")[0] for one in whole for name in one.values}
    return not firsts or any(name.partition("_")[0] in firsts for name in part.values)


def _needed(name: str, said: _Said, lead: _Shown, whole: list[_Shown], every: list[_Shown]) -> bool | None:
    if name in lead.values:
        if name in said.words:
            return said.words[name]
        if (lead.aside and not lead.whole) or (said.hints.get(name) is False and not lead.values[name]):
            return False
        # Who shows a configuration that has less, and nothing in its place, says that it does without; unless that is one of many.
        same = [other for other in whole if _is_same_way(other, lead)]
        less = [other for other in same if name not in other.values and set(other.values) <= set(lead.values)]
        return len(less) * FEW < sum(name in other.values for other in same) if less else True
    if (word := said.of(name)) is not None:
        return word and not (lead.whole and lead.values)  # in a table of all that there is, some are for another mode
    return False if any(name in shown.values for shown in every) else None


def _in_links(readme: str) -> str:
    """The configurations in links that install it into a client: in the address itself, or in base64."""
    found = [unquote(one) for one in re.split(r"[\s()\"'<>]+", readme) if "%22command%22" in one]
    for coded in re.findall(r"\bconfig=(eyJ[\w+/=%-]{20,4000})", readme):
        with suppress(ValueError):
            found.append(base64.b64decode(unquote(coded) + "==", altchars=None).decode())
    return "\n".join(["", *found])


# ---- configurations of clients ---------------------------------------------------------


def _configurations(readme: str, package: str) -> Iterator[_Shown]:
    inside = -1
    is_named = any(bare_name(one) == bare_name(package) for block in ARGUMENTS.findall(readme)[:MANY] for one in QUOTED.findall(block))
    every = sorted([*COMMAND.finditer(readme), *ENV.finditer(readme)], key=lambda one: one.start())
    for found in every[:MANY]:
        if found.start() < inside:
            continue
        if found.re is ENV:
            end = _end(readme, found.end() - 1)
            values, words = _pairs(readme[found.end() : end])
            if values:
                yield _Shown(values, words, False)
            inside = end
            continue
        start = _start(readme, found.start())
        if start < 0:
            continue
        end = _end(readme, start)
        text = readme[start:end]
        inside = end
        arguments = [one for block in ARGUMENTS.findall(text)[:1] for one in QUOTED.findall(block)]
        before, program, own = _started((QUOTED.search(readme, found.end() - 1) or [""])[0].strip("\"'"), arguments)
        if _is_another(program, own, package, is_named) or SERVES.search(" ".join(arguments)):
            continue
        block = ENV.search(text)
        values, words = _pairs(text[block.end() : _end(text, block.end() - 1)]) if block else ({}, {})
        values = _given_by_options(program) | _given_by_options(" ".join(arguments)) | before | values
        # What its arguments refer to is the client's, and not read by the server.
        values = {name: value for name, value in values.items() if not re.search(rf"\$\{{?(env:)?{name}\b", " ".join(arguments))}
        # An environment that is shown empty comes from elsewhere.
        is_whole = bool(set(values) - {"NODE_OPTIONS"}) or not (block or _says_more(arguments))
        yield _Shown(values, words, is_whole, _is_aside(readme, start))


def _started(program: str, arguments: list[str]) -> tuple[dict[str, str], str, list[str]]:
    """What stands before the program (`env NAME=value … npx`, also where the program is `env`), the program, and its arguments."""
    words = [*program.split(), *arguments] if BEFORE.match(program) else []
    given: dict[str, str] = {}
    while words and (words[0] == "env" or BEFORE.match(words[0])):
        name, equals, value = words.pop(0).partition("=")
        given |= {name: value} if equals else {}
    return (given, words[0], words[1:]) if words else (given, program, arguments)


def _lines_of_a_shell(readme: str, package: str) -> Iterator[_Shown]:
    """What stands in a block of lines for a shell, or of an `.env`: NAME=value, -e NAME=value."""
    parts = readme.split("```")
    every = [
        (_Shown(_given(block), {}, False, bool(A_SIDE_WAY.search((before.strip().splitlines() or [""])[-1]))), bool(SERVES.search(block)))
        for before, block in zip(parts[::2], parts[1::2], strict=False)
    ]
    every = [(shown, serves) for shown, serves in every if any(map(holds_secret, shown.values))]  # others are for tests, or show one thing
    by_stdio = [shown for shown, serves in every if not serves]
    # A key of its service is needed for any transport; others are those of its door.
    own = [shown for shown, _ in every if all(_is_called_like(package, one) for one in shown.values)]
    yield from by_stdio or own


def _of_a_container(readme: str, known: Collection[str]) -> Iterator[_Shown]:
    """What blocks that run it in a container give it, by whichever transport, where clients' configurations have no key for that: they log in."""
    for block in readme.split("```")[1::2]:
        values = {name: value for name, value in _given(block).items() if name not in known} if RUNS_A_CONTAINER.search(block) else {}
        if any(map(holds_secret, values)):
            yield _Shown(values, {}, False, True)


def _is_called_like(package: str, name: str) -> bool:
    first = name.partition("_")[0].lower()
    return len(first) > 2 and first != "mcp" and first in package.lower()


def _given(block: str) -> dict[str, str]:
    lines = [line[:WIDTH] for line in block.splitlines()]
    values = {found["name"]: found["value"].strip("\"'") for line in lines for found in _assigned(line) if not found["off"]}
    return values | {name: value for line in lines for name, value in _given_by_options(line).items()}


def _given_by_options(text: str) -> dict[str, str]:
    """-e NAME=value, --env NAME=value OTHER=value"""
    values: dict[str, str] = {}
    for one in (one for found in GIVEN.finditer(text) for one in re.finditer(rf"({NAME})=({VALUE})", found[1])):
        values.setdefault(one[1], one[2].strip("\"'"))
    return values


def _assigned(line: str) -> Iterator[re.Match[str]]:
    """NAME=value, and more of them on the same line."""
    while found := ASSIGNED.match(line):
        yield found
        line = found["rest"] if not found["rest"].lstrip().startswith("#") else ""


def _says_more(arguments: list[str]) -> bool:
    """Whether its arguments tell what a variable could: a key, an address, a user."""
    return any(TELLS.match(one) or UPPER.match(one) or "://" in one or is_blank(one) or OF_AN_OPERATOR.search(one) for one in arguments)


def _is_aside(readme: str, at: int) -> bool:
    prose = re.sub(r"```.*?```", "", readme[:at], flags=re.DOTALL)  # a shell's comment looks like a heading
    headings = re.findall(r"^#{1,6} +(.+)$", prose[-OBJECT:], re.MULTILINE)
    return bool(headings and A_SIDE_WAY.search(headings[-1]))


def _is_another(program: str, arguments: list[str], package: str, is_named: bool) -> bool:
    """Whether it starts another package than this. `is_named`: this is started by just its name somewhere, so that-name-pro is not it."""
    if not FETCHES.search(program):
        name = bare_name(program.partition(" ")[0])
        return not (RUNS.match(name) or "mcp" in name or "/" in program or name in bare_name(package) or bare_name(package) in name)
    named = [one for one in arguments if not one.startswith("-") and one not in ("run", "dlx", "x", "exec", "tool")]
    if not named or any(A_PLACE.search(one) for one in named):
        return False
    own = bare_name(package)
    bare = [bare_name(one) for one in named]
    if is_named:
        return own not in bare
    first = next((one for one in bare if "mcp" in one), bare[0])
    return not any(own in one for one in bare) and first not in own


def bare_name(package: str) -> str:
    """Its name without a scope, a version and extras, as PyPI normalizes it (PEP 503)."""
    return re.sub(r"[._]+", "-", re.sub(r"(?<=.)@[^/]*$|[=<>~]=.*$|\[.*\]$", "", package).rpartition("/")[2].lower())


def _start(text: str, at: int) -> int:
    """Where the object begins that this is in; -1 if it is in none."""
    depth = 0
    for place in range(at - 1, max(-1, at - OBJECT), -1):
        depth += (text[place] == "}") - (text[place] == "{")
        if depth < 0:
            return place
    return -1


def _end(text: str, start: int) -> int:
    """Where the object ends that begins there."""
    depth = 0
    for place in range(start, min(len(text), start + OBJECT)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return min(len(text), start + OBJECT)


def _pairs(text: str) -> tuple[dict[str, str], dict[str, bool]]:
    values: dict[str, str] = {}
    words: dict[str, bool] = {}
    above = ""  # the comments right above a pair are about it
    for line in re.split(r"\n|(?<=[\"']),(?=\s*[\"'])", text):
        found = PAIR.search(line[:WIDTH])
        is_comment = bool(re.match(r"\s*(?://|#)", line))
        if not found or (is_comment and not UPPER.search(found["name"])):
            above = f"{above} {line[:WIDTH].strip()}" if is_comment else ""
            continue
        value = next((one for one in (found["a"], found["b"], found["c"]) if one is not None), "").replace('\\"', '"')
        values[found["name"]] = value if value != found["name"] else f"<{value}>"
        words_of_it = value.replace("_", " ")  # your_key_optional, optional-tag-key
        about = found["rest"] + (words_of_it if " " in value or OPTIONAL.search(words_of_it) else "") + above
        above = ""
        word = False if found["off"] or IN_SOME_CASES.search(value) else _words(about)[0]
        if word is not None:
            words[found["name"]] = word
    return values, words


# ---- tables, lists and lines -----------------------------------------------------------


def _by_words(said: _Said, text: str) -> None:
    heading: bool | None = None
    columns: list[str] = []
    rows: list[list[str]] = []
    is_fenced, is_all = False, False
    for line in (one[:WIDTH].removeprefix("> ") for one in text.splitlines()):
        stripped = line.strip()
        is_fenced ^= stripped.startswith("```")
        if stripped.startswith("#") and not is_fenced:
            is_all = False
        is_all |= bool(ALL_OPTIONAL.search(stripped))
        if is_all:
            said.words |= {name: False for name in UPPER.findall(line) if name not in said.words}
        if stripped.startswith("|"):
            cells = [cell.strip() for cell in stripped.replace("**", "").strip("|").split("|")]
            if not columns:
                columns = [cell.lower() for cell in cells]
            _by_row(said, cells, columns, heading)
            rows.append(cells)
            continue
        _by_defaults(said, rows, columns)
        columns, rows = [], []
        if found := LISTED.match(line):
            word, hint = _words(found["rest"])
            default = WITH_DEFAULT.search(found["rest"])
            more = AND_MORE.match(found["rest"])
            for name in dict.fromkeys([found["name"], *UPPER.findall(more[0] if more else "")]):
                said.add(name, word, default[1].rstrip(".") if default else "", heading if hint is None else hint)
                said.about(name, found["rest"])
        elif ASSIGNED.match(line):
            for found in _assigned(line):
                word, hint = (False, None) if found["off"] else _words(found["rest"])
                hint = word if word is not None else hint
                said.about(found["name"], found["rest"].partition("#")[2])
                said.add(found["name"], False if word is False and not found["off"] else None, hint=heading if hint is None else hint)
        elif found := HEADING.match(line):
            title = next(one for one in found.groups() if one is not None)
            heading = False if OPTIONAL.search(title) else True if REQUIRED_ONES.search(title) else None
        elif not is_fenced:
            for sentence in re.split(r"(?<=[.!?])\s", line):
                if MAY_BE_SET.search(sentence) and not OR_IT_FAILS.search(line):
                    for name in UPPER.findall(sentence):
                        said.add(name, None if holds_secret(name) or WITH_A_KEY.search(name) else False)
    _by_defaults(said, rows, columns)


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
            is_no = NO.search(cell) and not UNDER_A_CONDITION.search(cell)
            word, hint = (True, None) if is_yes else (False, None) if is_no else (None, False)
        elif re.search("optional|可选", title) and word is None:
            word = False if YES.search(cell) else True if NO.search(cell) else None
        elif re.search("default|默认|預設|デフォルト|기본", title) and not NOTHING.match(cell):
            default = cell.strip("` *\"'") or '""'
    if word is None and hint is None:
        word, hint = _words(" ".join(cells[1:]))
        hint = False if word is None and default else hint
    for name in names:
        said.add(name, word, default, heading if hint is None else hint)
        said.about(name, " ".join(cells[1:]))


def _by_defaults(said: _Said, rows: list[list[str]], columns: list[str]) -> None:
    """Of a table that only says what is where nothing is set: a key for which that is nothing is needed, and what goes with it."""
    at = next((at for at, title in enumerate(columns) if title.startswith("default")), -1)
    if at < 0 or any(re.search(r"requir|mandatory|needed|optional", title) for title in columns):
        return
    every = [(cells, UPPER.findall(cells[0])) for cells in rows[1:] if len(cells) == len(columns)]
    bare = [
        name for cells, names in every if NO_DEFAULT.fullmatch(cells[at]) and not IN_SOME_CASE.search(" ".join(cells)) for name in names
    ]
    keys = {name.partition("_")[0] for name in bare if holds_secret(name)}
    if keys and len(bare) < sum(len(names) for _, names in every):
        for name in bare:
            if name.partition("_")[0] in keys and (holds_secret(name) or WITH_A_KEY.search(name)):
                said.hints.setdefault(name, True)


def _words(text: str) -> tuple[bool | None, bool | None]:
    """What a text says, and what it only suggests. True: "required"; False: "optional"."""
    if OPTIONAL.search(text):
        return False, None
    if CONDITION.search(text) or DEFAULT.search(text):
        return None, False
    return (True if REQUIRED.search(text) else None), None


def _by_its_server_json(said: _Said, text: str) -> None:
    try:
        packages = json.loads(text)["packages"] if text else []
        every = [one for package in packages for one in package.get("environmentVariables") or package.get("environment_variables") or []]
        for one in every:
            said.add(str(one["name"]), bool(one.get("isRequired", one.get("is_required"))), str(one.get("default") or ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
