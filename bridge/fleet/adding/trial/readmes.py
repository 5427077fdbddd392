"""What a README says besides of variables: how a server is started, where one logs in, what it keeps, what it needs. Pure: a text in, words out."""

import re
from collections.abc import Collection
from itertools import takewhile

from bridge.fleet.adding.trial.client_examples import COMMAND, FETCHES, LONGEST, QUOTED, WIDTH, bare_name
from bridge.fleet.adding.trial.published import BY_HAND, SURELY_BY_HAND

ARGUMENTS = re.compile(r"""args["']?\s*[:=]\s*\[([^\[\]]*)\]""")  # of a client's configuration
INSTALLS = re.compile(r"\b(?:npm (?:i|install|add)|pnpm add) (?:-g|--global) (@?[a-z0-9][\w./-]*(?:@[\w.-]+)?)")
OF_DEBIAN = re.compile(r"\bapt(?:-get)? install (?:-y |--yes )?((?:[a-z0-9][a-z0-9.+-]+ ?)+)")
WITH = re.compile(r"--with(?:(?:\s+|=)['\"]?|['\"],\s*['\"])([A-Za-z0-9][\w.\[\]-]*)")  # of uvx
MOST_INSTALLED = 3
A_WORD = re.compile(r"[\w@./:=<>,+-]+")
OF_A_CLIENT = re.compile(
    r"--(?:client|agent|ide)\b|\b(?:claude|cursor|gemini|codex|windsurf)\b", re.IGNORECASE
)  # which it writes itself into
A_LOGIN = re.compile(r"\boauth\b|\blog(?:s|ged)? ?in\b|\bsign(?:s|ed)? ?in\b|\bauthenticat|\baccess token\b", re.IGNORECASE)
# In prose: a login for which a browser is opened on the machine that it runs on, by itself and not by a client.
A_BROWSER = re.compile(
    r"\bbrowsers?\b[^.\n]{0,60}\b(?:open|launch|pop)(?:s|es|ed|ing)?\b|\b(?:open|launch|start)(?:s|es|ed|ing)?\b[^.\n]{0,40}\bbrowser\b",
    re.IGNORECASE,
)
FOR_A_LOGIN = re.compile(r"\b(?:oauth|log(?:s|ged|ging)?[- ]?in|sign(?:s|ed|ing)?[- ]?in|authori[sz]\w+|authenticat\w+)\b", re.IGNORECASE)
A_STEP = re.compile(r"\s*\d+\. ")
NOT_BY_ITSELF = re.compile(
    r"(?:^[\W\d]*|\b(?:and|then|please|you|must|should|can|to) )(?:open|visit|copy|paste)\b|\b(?:no|without|not|never|instead of|doesn't|don't|if)\b|\bclients?\b|\bCLI\b|\b(?:claude|cursor|gemini|codex|antigravity|warp)\b|inspector",
    re.IGNORECASE,
)
OF_REQUIREMENTS = re.compile(
    r"^\s*(?:#{1,6}\s+|\*\*)\W*(?:\w+ ){0,2}(?:requirements?|prerequisites?|platforms?|compatibility)\b", re.IGNORECASE
)
NEEDS_A_DESK = re.compile(
    r"^\s*(?:[-*+]|\d+\.)\s+[*_`\[]*(?:(?:macOS|Mac OS X|Windows)\b|\w[\w ]*\b(?:app|application) (?:for macOS|\(macOS\))$)"
    r"(?!.*\b(?:optional|if|for|users?)\b|.*\bor (?!later|newer|higher|above))",
    re.IGNORECASE,
)
A_SYSTEM = re.compile(r"^Classifier: Operating System :: (.+)$", re.MULTILINE)  # in a wheel's metadata
ANY_SYSTEM = re.compile(r"Linux|Unix|OS Independent|POSIX$", re.IGNORECASE)
ONLY_A_DESK = re.compile(
    r"\b(?:this|the) (?:[\w-]+ ){0,3}(?:server|tool|package|project)\b[^.|]{0,40}(?:\b(?:macOS|Windows)[- ]only\b|\bonly (?:works|runs|supported) on (?:macOS|Windows)\b"
    r"|\b(?:works|runs) only on (?:macOS|Windows)\b)"
    r"|^\W*(?:you need|(?:it )?(?:requires?|needs?)) (?:macOS|Windows)\b(?! for|.{0,20}\bor (?!later|newer|higher|above))",
    re.IGNORECASE,
)
LINUX = re.compile(r"linux|ubuntu|debian|docker", re.IGNORECASE)
IN_HOME = re.compile(r"(?:~|\$HOME|\$\{HOME\})/((?:\.[\w.-]+|[\w.-]*mcp[\w.-]*)(?:/[\w.@-]+)*)")
KEEPS = re.compile(
    r"\b(?:stor(?:e|es|ed|age)|sav(?:e|es|ed)|persist\w*|kept|keeps?|tokens?|credentials?|database|sessions?|writ(?:es|ten)|created?)\b",
    re.IGNORECASE,
)
A_NEW_LINE = re.compile(r"^\s*(?:[-*+•|#>]\s|\||\d+\.\s|#|$)|^\s{4}|^\s*[\w./~-]+\s*[=:]")  # of a list, a table, some code
NOT_KEPT = re.compile(
    r"^\.(?:aws|claude|codex|cursor|docker|kube|ssh|vscode|windsurf|gemini/extensions)(?:/|$)|(?:^|/)\.env$|cache|browsers(?:/|$)|logs?(?:/|$)|\.log$|(?:^|/)\.?mcp\.json$|configs?\.(?:json|toml|ya?ml)$|settings\.json$",
    re.IGNORECASE,
)
A_CONFIG = re.compile(r"config\.(?:json|toml|ya?ml)$|(?:^|/)\.env$", re.IGNORECASE)
WITH_A_TOKEN = re.compile(r"\bwrites?\b.{0,30}\b(?:tokens?|credentials?)\b", re.IGNORECASE)
REMOTE_SERVER = re.compile(r"""["'](?:url|serverUrl|httpUrl)["']\s*:\s*["'](https?://[\w./:%?&=+~-]+)["']""")
# A program of a desk that must run already, which is no service that one reaches by an address.
OF_A_DESK = r"(?!(?i:(?:\w+ )?(?:docker|podman|redis|postgres|my|mongo|ollama|server|database|engine|daemon|container|service|api|node|python|chrome|cluster)\w*))"
A_MARK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)|[*_`]{1,2}(?=\S)|(?<=\S)[*_`]{1,2}")  # of Markdown
PROSE = re.compile(
    r"(?![\w-]+: |(?:Special|Thanks|There|See|If|For|To|Note|Simply|Please|We|You)\b)(?!.*[|·•]|.*https?://\S+$)[A-Za-z](?:\S*\s+){5}"
)


def about(readme: str) -> str:
    """What it is: its first sentence of prose."""
    first, *others = readme[:LONGEST].split("<!--")
    prose = "\n".join("".join([first, *(one.partition("-->")[2] for one in others)]).split("```")[::2])
    every = (A_MARK.sub(r"\1", " ".join(one[:WIDTH].split())) for one in re.split(r"\n\s*\n|\n(?=\s*[#<>|*-])", prose))
    return next((re.split(r"(?<=\w[.!?])\s", one)[0] for one in every if PROSE.match(one) and not one.endswith(":")), "")


def installs(readme: str) -> list[str]:
    """The packages of npm that its README has installed for all programs, as those that it starts are."""
    found = INSTALLS.findall(readme[:LONGEST])
    return list(dict.fromkeys(re.sub(r"(?<=.)@[^/]*$", "", one) for one in found))[:MOST_INSTALLED]


def debian(readme: str) -> list[str]:
    """The packages of Debian that its README has installed."""
    found = OF_DEBIAN.findall(readme[:LONGEST])
    return list(dict.fromkeys(one for words in found for one in words.split()))


def withs(readme: str) -> list[str]:
    """The packages of PyPI that its README has beside it: one of several drivers, say."""
    return list(dict.fromkeys(WITH.findall(readme[:LONGEST])))


def program(readme: str, programs: Collection[str]) -> str:
    """Which of the programs that a package installs is its server: what a client's configuration in its README starts, else the only one that
    is called so; empty if that is not said."""
    started = (QUOTED.search(readme, found.end() - 1) for found in COMMAND.finditer(readme[:LONGEST]))
    named = [found[1] for found in started if found and found[1] in programs]
    launched = ([word for word in QUOTED.findall(line) if word in programs] for line in ARGUMENTS.findall(readme[:LONGEST]))
    named += [words[-1] for words in launched if words]  # uvx --from PACKAGE PROGRAM
    called = [one for one in programs if "server" in one]
    return next(iter(named), called[0] if len(called) == 1 else "") if len(programs) > 1 else ""


def login(readme: str, names: Collection[str]) -> str:
    """The command of its own by which a person logs in before it works, as its README has it; empty if there is none. `names`: of the package
    and its programs."""
    known = {bare_name(name): name for name in names}
    parts = readme[:LONGEST].split("```")
    for before, block, after in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
        wanted = BY_HAND if A_LOGIN.search(before[-WIDTH:] + block + after[: WIDTH // 2]) else SURELY_BY_HAND
        for line in (one[:WIDTH].strip().removeprefix("$ ") for one in block.splitlines()):
            words = line.partition("#")[0].split()
            if not all(map(A_WORD.fullmatch, words)):  # nothing that a shell would run besides is told to anybody
                continue
            own = next((at for at, word in enumerate(words) if bare_name(word) in known), -1)
            if 0 <= own < len(words) - 1 and wanted.fullmatch(words[own + 1]) and not OF_A_CLIENT.search(line):
                is_of_a_clone = own > 0 and (words[1] == "run" or not FETCHES.search(words[0]))  # .venv/bin/python -m, uv run
                return " ".join([known[bare_name(words[own])], *words[own + 1 :]] if is_of_a_clone else words)
    return ""


def browser(readme: str) -> str:
    """What its README says in prose of a login for which a browser opens; empty if it says nothing of that."""
    prose = "\n".join(readme[:LONGEST].split("```")[::2])
    lines = [one[:WIDTH] for one in prose.splitlines() if one.strip()]
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        beside = following if A_STEP.match(line) and A_STEP.match(following) else ""  # "1. A browser opens" "2. Sign in"
        sentences = re.split(r"(?<=[.!?;])\s", line)
        for one, next_one in zip(sentences, [*sentences[1:], beside], strict=True):
            if A_BROWSER.search(one) and FOR_A_LOGIN.search(f"{one} {next_one}") and not NOT_BY_ITSELF.search(one):
                return one.strip(" \t-*>#|")
    return ""


def platform(readme: str) -> str:
    """What its README or its metadata says of the system that it needs, where no Linux is one; empty if they say nothing of that."""
    systems = A_SYSTEM.findall(readme)
    if systems and not any(map(ANY_SYSTEM.search, systems)):
        return ", ".join(one.rpartition(" :: ")[2] for one in systems)
    lines = [one[:WIDTH] for one in readme[:LONGEST].splitlines()]
    for at, line in enumerate(lines):
        if OF_REQUIREMENTS.search(line):
            below = list(takewhile(lambda one: not re.match(r"#{1,6}\s", one), lines[at + 1 : at + 25]))
            found = next((one for one in below if NEEDS_A_DESK.search(one)), "")
            if found and not LINUX.search("\n".join(below)):
                return found.strip(" \t-*+")
    return next((line.strip(" \t-*+>") for line in lines if ONLY_A_DESK.search(line) and not LINUX.search(line)), "")


def home(readme: str, package: str) -> str:
    """What it keeps in its home, as its README says: a path that is called like it. Not what clients keep there."""
    own = {word for word in re.split(r"[^a-z0-9]+", package.lower()) if len(word) > 3 and word != "server"} | {"mcp"}
    lines = [one[:WIDTH] for one in readme[:LONGEST].splitlines()]
    for before, line in zip(["", *lines], lines, strict=False):
        sentence = line if A_NEW_LINE.match(line) else f"{before} {line}"  # that goes over both
        for found in IN_HOME.finditer(line) if KEEPS.search(sentence) else ():
            path = (
                found[1].rpartition("/")[0] or found[1] if line[found.end() :][:1] in ("{", "$", "<", "*") else found[1]
            )  # ~/.it/version-{n}
            named = re.sub(r"^(?:\.config|\.local/(?:share|state))/", "", path).lower()
            is_kept = not NOT_KEPT.search(path) or (A_CONFIG.search(path) and WITH_A_TOKEN.search(sentence))
            if any(word in named for word in own) and is_kept:
                return path
    return ""


def elsewhere(readme: str) -> str:
    """The address of a server that its README has clients talk to instead of a program of the package; empty if there is none."""
    found = (one[1] for one in REMOTE_SERVER.finditer(readme[:LONGEST]))
    return next((url for url in found if not re.search(r"://(?:localhost|127\.|0\.0\.0\.0|\[)|[<${]|example|your", url, re.IGNORECASE)), "")
