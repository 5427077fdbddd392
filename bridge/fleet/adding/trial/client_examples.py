"""The configurations of clients that a README shows, and the lines of a shell or of an `.env` in their place: which variables each sets. Pure."""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from bridge.fleet.adding.draft import holds_secret, is_blank
from bridge.fleet.adding.trial.wording import OPTIONAL, says

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
# A line of an `.env`, or of a shell.
ASSIGNED = re.compile(
    r"""^[ \t]*(?P<off>\#[ \t]*)?(?:export[ \t]+|set[ \t]+|\$env:)?(?P<name>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[ \t]?=[ \t]?(?P<value>"[^"\n]*"|'[^'\n]*'|<[^<>\n]*>|[^\s#]*)(?P<rest>.*)$"""
)
FETCHES = re.compile(r"(?:^|/)(?:npx|bunx|uvx|pnpx|pipx|pnpm|bun|yarn|uv|npm)(?:\.cmd|\.exe)?$")
RUNS = re.compile(r"(?:node|python[\d.]*|docker|podman|deno|cmd|sh|bash|env|poetry|java|dotnet)?(?:\.exe)?$")
TELLS = re.compile(
    r"--?[\w-]*(?:key|token|secret|pass|user|auth|ur[il]|dsn|host|credential|login|mail|header|connection|profile|config)", re.IGNORECASE
)
OF_AN_OPERATOR = re.compile(r"your|abc|xyz|123|<", re.IGNORECASE)
A_SIDE_WAY = re.compile(
    r"\b(?:multi(?:ple)?|advanced|alternative(?:ly)?|optional(?:ly)?|instead of)\b", re.IGNORECASE
)  # in the heading of a configuration
A_BLOCK_IN_TWO = re.compile(r"^[ \t]*(?:#|//) *(?:or|alternatively)\b.*$", re.IGNORECASE | re.MULTILINE)  # a comment between two ways
# Of a block of lines that starts it for clients elsewhere.
SERVES = re.compile(
    r"(?:--(?:transport|mode)|(?<!\S)-t)[ =](?:sse|http|streamable)|(?<!\S)--(?:http|sse)\b|\b\w*(?:HTTP|SSE)_PORT=|TRANSPORT=[\"']?(?:sse|http|streamable)",
    re.IGNORECASE | re.MULTILINE,
)
FEW = 4  # of so many configurations, one that has less says nothing
A_PLACE = re.compile(r"^git\+|^[./~]|^[A-Za-z]:[\\/]|\.(?:py|m?js)$")


@dataclass(frozen=True)
class Shown:
    """A client's configuration. `whole`: it starts the server, and so has all that it must be given."""

    values: dict[str, str]
    words: dict[str, bool]
    whole: bool
    aside: bool = False  # under a heading that says that it is not what everybody sets


def in_links(readme: str) -> str:
    """The configurations in links that install it into a client: in the address itself, or in base64."""
    found = [unquote(one) for one in re.split(r"[\s()\"'<>]+", readme) if "%22command%22" in one]
    for coded in re.findall(r"\bconfig=(eyJ[\w+/=%-]{20,4000})", readme):
        with suppress(ValueError):
            found.append(base64.b64decode(unquote(coded) + "==", altchars=None).decode())
    return "\n".join(["", *found])


def examples(readme: str, package: str) -> Iterator[Shown]:
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
                yield Shown(values, words, False)
            inside = end
            continue
        start = _start(readme, found.start())
        if start < 0:
            continue
        end = _end(readme, start)
        text = readme[start:end]
        inside = end
        arguments = [one for block in ARGUMENTS.findall(text)[:1] for one in QUOTED.findall(block)]
        program = (QUOTED.search(readme, found.end() - 1) or [""])[0].strip("\"'")
        if _is_another(program, arguments, package, is_named) or SERVES.search(" ".join(arguments)):
            continue
        block = ENV.search(text)
        values, words = _pairs(text[block.end() : _end(text, block.end() - 1)]) if block else ({}, {})
        values = _given_by_options(program) | _given_by_options(" ".join(arguments)) | values
        # What its arguments refer to is the client's, and not read by the server.
        values = {name: value for name, value in values.items() if not re.search(rf"\$\{{?(env:)?{name}\b", " ".join(arguments))}
        # An environment that is shown empty comes from elsewhere.
        is_whole = bool(set(values) - {"NODE_OPTIONS"}) or not (block or _says_more(arguments))
        yield Shown(values, words, is_whole, _is_aside(readme, start))


def lines_of_a_shell(readme: str, package: str) -> Iterator[Shown]:
    """What stands in a block of lines for a shell, or of an `.env`: NAME=value, -e NAME=value."""
    parts = A_BLOCK_IN_TWO.sub("\n```\nAlternatively:\n```", readme).split("```")
    every = [
        (Shown(_given(block), {}, False, bool(A_SIDE_WAY.search((before.strip().splitlines() or [""])[-1]))), bool(SERVES.search(block)))
        for before, block in zip(parts[::2], parts[1::2], strict=False)
    ]
    every = [(shown, serves) for shown, serves in every if any(map(holds_secret, shown.values))]  # others are for tests, or show one thing
    by_stdio = [shown for shown, serves in every if not serves]
    # A key of its service is needed for any transport; others are those of its door.
    own = [shown for shown, _ in every if all(is_called_like(package, one) for one in shown.values)]
    yield from by_stdio or own


def is_called_like(package: str, name: str) -> bool:
    first = name.partition("_")[0].lower()
    return len(first) > 2 and first != "mcp" and first in package.lower()


def _given(block: str) -> dict[str, str]:
    lines = [line[:WIDTH] for line in block.splitlines()]
    values = {found["name"]: found["value"].strip("\"'") for line in lines for found in assigned(line) if not found["off"]}
    return values | {name: value for line in lines for name, value in _given_by_options(line).items()}


def _given_by_options(text: str) -> dict[str, str]:
    """-e NAME=value, --env NAME=value OTHER=value"""
    values: dict[str, str] = {}
    for one in (one for found in GIVEN.finditer(text) for one in re.finditer(rf"({NAME})=({VALUE})", found[1])):
        values.setdefault(one[1], one[2].strip("\"'"))
    return values


def assigned(line: str) -> Iterator[re.Match[str]]:
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
        word = False if found["off"] else says(about)[0]
        if word is not None:
            words[found["name"]] = word
    return values, words
