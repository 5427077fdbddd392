"""What a program says of its command line: the commands that it has, and the arguments that it cannot do without. Pure."""

import re
from collections.abc import Iterable, Iterator

from bridge.fleet.adding.draft import is_blank, is_secret
from bridge.fleet.adding.trial.container import Seen

WIDTH, LINES = 400, 300  # of what is looked at: whoever writes a help decides how long it is
SERVERS = ("stdio", "mcp", "serve", "server", "start", "run")  # what the command is called that is the server, the likeliest first
HEADING = re.compile(
    r"^(?!.*\b(?:usage|options?|flags?|description|examples?|environment|variables|notes?|alias(?:es)?|tools?|resources?|prompts?|features)\b)\W*[\w ]*(?:\bcommands?|arguments|:)\W*$",
    re.IGNORECASE,
)
ENTRY = re.compile(r"^\s+([a-z][\w:-]*)(?:, ?[a-z][\w-]*)*((?:\s+[<\[]\S+)*)(?:\s{2,}|\s*$)(.*)")
CHOICES = re.compile(r"^[^\n]*\{([a-z][\w-]*(?:,[a-z][\w-]*)*)\}", re.MULTILINE)  # as argparse shows them
REFUSES = re.compile(
    r"no such (option|command)|unrecognized (argument|option)|unknown (option|argument|flag|command)|unexpected (extra )?argument",
    re.IGNORECASE,
)
BORDER = re.compile(r"[│┃|╭╮╰╯─]")
A_HELP = re.compile(r"\W*(?:usage|options|flags|(?:[\w ]+ )?commands)\b\W*(?::|$)", re.IGNORECASE)
SAYS_SERVER = re.compile(r"\bstdio\b|\bMCP\b|model context protocol", re.IGNORECASE)
NO_SERVER = re.compile(
    r"install|config|setup|init|list|add|remove|login|auth|help|version|http|sse|test|update|stop|status|client"
    r"|publish|deploy|delete|create|search|find|inspect|manage|connect|call|get|debug|build|validate|check|doctor|export|import|generate|push|upload",
    re.IGNORECASE,
)
USAGE = re.compile(r"\b(?:usage|example|run)\b[^:\n]{0,20}:\s*(?:\$ )?(?:npx (?:-y )?|uvx |uv run )?(\S+)((?:[ \t]+\S+)*)", re.IGNORECASE)
A_FOLDER = re.compile(
    r"[\[<({]?(?:/(?:absolute/)?path/to\b\S*|\S*(?:dir(?:ectory|ectories)?|folder|vault|workspace|root)s?(?:[-_ ]?path)?(?:\.\.\.)?[>})\]]+)(?:\.\.\.)?$",
    re.IGNORECASE,
)
A_DATABASE = re.compile(
    r"<[^<>]*(?:db|database|sqlite)[^<>]*(?:path|file)[^<>]*>|<[^<>]*(?:path|file)[^<>]*(?:db|database|sqlite)[^<>]*>|\S*/path/to/\S+\.(?:db|sqlite3?)$",
    re.IGNORECASE,
)
YOURS = re.compile(r"\b(?:YOUR|MY)_([A-Z][A-Z0-9_]*)")
A_VALUE = re.compile(r"<([a-z][\w-]*)>", re.IGNORECASE)
WITH_A_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]*@")  # in an address
SCHEME = re.compile(
    r"(?<![\w+.-])(?!(?:https?|file|sqlite|git|npm|ssh|wss?|tcp|duckdb)[:+])([a-z][a-z0-9+.-]{2,15})://(?P<rest>[^\s'\"`]*)", re.IGNORECASE
)
A_WHOLE_HOST = re.compile(r"[\w-]+(?:\.[\w-]+|:\d)")
# In an example: an address, a name, a number that are somebody's own.
AN_EXAMPLE = re.compile(
    r"\bexample\b|(?:^|[^a-z])(?:your|my)[-_]|abc\w*\d|xyz|x{4}|12345|<|@|localhost|127\.0\.0\.1|\b(?:10|192\.168|172\.\d+)\.\d+\.",
    re.IGNORECASE,
)
NO_COMMAND = re.compile(
    r"Missing command|Required command|No such command|command is missing|unknown command|invalid choice|arguments are required: (sub)?command",
    re.IGNORECASE,
)
A_COMMAND = re.compile(r"(sub-?)?(command|cmd)s?$", re.IGNORECASE)
AN_OPTION = re.compile(r"(?:-\w,? ?)?(--[a-z][\w-]+)")
SERVER_FLAG = re.compile(r"\s*(?:-\w,? ?)?(--(?:stdio|mcp|mcp-stdio|mcp-server|serve))\b(?![=-])")
REQUIRED = re.compile(
    r"arguments are required: *([^\n]+)|\bthe (?:-\w/)?(--[\w-]+) (?:argument|option|flag) is required|(?:Missing option|required option|Missing required arguments?:?) *['\"]?(--?[\w-]+|[a-z][\w-]*)"
)


def with_command(seen: Seen, command: tuple[str, ...]) -> tuple[str, ...]:
    """`command` with that command of the program that is likely to be the server, or with the next likely one in its place; as it is if its
    help lists none (else)."""
    rated = [(rate, name) for name, about in dict(_commands(helps(seen))).items() if (rate := _rated(name, about))]
    names = [name for _, name in sorted(rated, reverse=True)]
    if command[-1] in names:  # the help is not its own, but that of the whole program
        following = names[names.index(command[-1]) + 1 :]
        return (*command[:-1], following[0]) if following and is_only_help(seen) else command
    return (*command, names[0]) if names else command


def other_commands(seen: Seen) -> list[str]:
    """The commands that its help lists, where none of them may be the server."""
    every = dict(_commands(helps(seen)))
    return [] if any(_rated(name, about) for name, about in every.items()) else [*every]


def wants_a_command(seen: Seen) -> bool:
    return any(NO_COMMAND.search(line) for line in seen.report["words"][-15:])


def servers(seen: Seen, command: tuple[str, ...]) -> tuple[str, ...]:
    """What the command may be called that is the server: of those that it names where it has none ("Expected 'init' or 'run'"), else any."""
    lines = [line[:WIDTH] for line in seen.report["words"][-15:] if NO_COMMAND.search(line)]
    said = {word for line in lines for word in re.findall(r"['\"`]([a-z][\w-]*)['\"`]", line)}
    return tuple(one for one in SERVERS if one in said - {command[-1]}) or SERVERS


def arguments(seen: Seen, program: str, folder: str, variable: str) -> list[str]:
    """The arguments that it says it wants: words to be taken as they are, places to keep things, and what only the operator knows, as
    variables that are called like `variable`; empty if it wants none, or anything else."""
    positional = {one for one in _required(seen) if not one.startswith("-")}
    for line in _usages([*seen.report["words"][-25:], seen.report["why_not"], *helps(seen)]):
        found = USAGE.search(line)
        if not found or program not in (found[1], found[1].rpartition("/")[2]):
            continue
        words = _without_optional(found[2], line).split()
        given = [_argument(f"<{word}>" if word in positional else word, folder, variable) for word in words]
        if given and all(given):
            return list(filter(None, given))
    return []


def shown(seen: Seen, folder: str, variable: str) -> list[str]:
    """The arguments that its README shows, the shortest, with places for folders and variables for what only the operator knows; empty if it
    shows none."""
    for words in sorted(seen.report["shown"], key=len):
        given = [_example(word, before, folder, variable) for before, word in zip(["", *words], words, strict=False)]
        if given and all(given):
            return given
    return []


def options(seen: Seen) -> list[str]:
    """The options with a value that it says it cannot do without; yargs calls --url just url."""
    text = "\n".join(helps(seen))
    names = (one if one.startswith("-") or not re.search(rf"--{one}\b", text) else f"--{one}" for one in _required(seen))
    return [one for one in dict.fromkeys(names) if one.startswith("--")]


def addresses(seen: Seen, service: str, variable: str) -> Iterator[list[str]]:
    """The option whose default by its help is the address of `service` (127.0.0.1:13337), or whose default is here where another's is that
    port, with a value of the operator's: all of an address, and only the host in it, as some insist on a port."""
    port = service.rpartition(":")[2]
    entries = [(found[1], entry) for entry in re.split(r"\n\s+(?=-)", "\n".join(helps(seen))) if (found := AN_OPTION.match(entry))]
    has_port = any("port" in option and re.search(rf"\b{port}\b", entry) for option, entry in entries)
    for option, entry in entries:
        found = re.search(rf"([a-z]+://)?(?:localhost|127\.0\.0\.1|host\.docker\.internal)(:{port}\b)?(?!:?\d)", entry)
        if found and (found[2] or (has_port and "host" in option)):
            name = f"{variable}{re.sub('[^A-Z0-9]+', '_', option.upper()[1:])}"
            if found[1]:
                yield [option, f"${{{name if re.search('UR[IL]|ENDPOINT', name) else f'{name}_URL'}}}"]
            yield [option, f"{found[1] or ''}${{{name if name.endswith('HOST') else f'{name}_HOST'}}}{found[2] or ''}"]


def flag(seen: Seen) -> str:
    """The option by which a program becomes a server, as its help says: one that only prints that help, or does something else unless the
    option speaks of MCP; or as the code of one says that says nothing; empty if there is none."""
    lines = [line for line in helps(seen) if is_only_help(seen) or "mcp" in line.lower()]
    return next((found[1] for line in lines if (found := SERVER_FLAG.match(line))), seen.report["flag"] if seen.is_silent else "")


def schemes(seen: Seen) -> dict[str, str]:
    """What the addresses begin with that its variables want (postgres://, mongodb://, with who one is where that is shown), as its publisher
    shows them; by "" what its own words show."""
    report = seen.report
    shown = {one["name"]: _beginning(found) for one in report["published"] if (found := SCHEME.match(one["value"] or one["default"]))}
    texts = (text for lines in (report["words"], report["help"], *report["shown"]) for text in lines)
    said = next((_beginning(found) for text in texts for found in SCHEME.finditer(text[:WIDTH])), "")
    return shown | ({"": said} if said else {})


def _beginning(shown: re.Match[str]) -> str:
    is_of_nobody = A_WHOLE_HOST.match(shown["rest"]) and "@" not in shown["rest"]  # there are drivers that refuse a user in it
    return f"{shown[1]}://" + ("" if is_of_nobody else "placeholder:placeholder@")


def helps(seen: Seen) -> list[str]:
    """What it printed when it was asked for its help, if it looks like one: many do not listen, and say what they always say."""
    lines = [line[:WIDTH] for line in seen.report["help"][:LINES]]
    return lines if is_a_help(lines) else []


def is_a_help(lines: Iterable[str]) -> bool:
    return any(A_HELP.match(line[:WIDTH]) for line in lines)


def is_only_help(seen: Seen) -> bool:
    """Whether it printed nothing but how it is used."""
    words = _bare(seen.report["words"])
    return bool(words) and words <= _bare(helps(seen))


def _without_optional(words: str, line: str) -> str:
    """Without what stands in brackets, unless its line misses just that: "Missing account ID. Usage: it run [account_id]"."""

    def missed(found: re.Match[str]) -> str:
        spoken = re.escape(re.sub(r"\W+|_", " ", found[1]).strip())
        return f"<{found[1]}>" if re.search(rf"\b(?:missing|no|requires?) (?:an? |the )?{spoken}\b", line, re.IGNORECASE) else " "

    return re.sub(r"\[([^\[\]]*)\](?:\.\.\.)?", missed, words)


def _required(seen: Seen) -> list[str]:
    text = "\n".join(seen.report["words"][-15:])
    return [one for found in REQUIRED.finditer(text) for one in re.split(r"[,\s/]+", found[1] or found[2] or found[3]) if one]


def _commands(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The commands that a help lists, each with what is said of it."""
    inside, text = False, []
    for line in lines:
        line = BORDER.sub(" ", line)
        text.append(line)
        if HEADING.match(line):
            inside = True
        elif inside and line.strip() and not line[0].isspace():
            inside = False
        elif inside and (found := ENTRY.match(_without_program(line))):
            yield found[1], found[3]
    for choices in CHOICES.findall("\n".join(text)):
        yield from ((name, "") for name in choices.split(","))


def _without_program(line: str) -> str:
    """yargs puts the program before each of its commands: "  it serve [options]  Starts it"."""
    return re.sub(r"^(\s+)\S+ (?=[a-z][\w:-]*(?: [<\[]\S+)*\s{2,})", r"\1", line)


def _rated(name: str, about: str) -> int:
    words = re.split(r"[-_:]", name)
    if name in SERVERS:
        return 20 - SERVERS.index(name) + 10 * bool(SAYS_SERVER.search(about))
    if NO_SERVER.search(name):
        return 0
    return 8 * any(word in SERVERS for word in words) or 6 * bool(SAYS_SERVER.search(about))


def _usages(lines: Iterable[str]) -> Iterator[str]:
    """Each line, and "Usage:" together with the line after it."""
    heading = ""
    for line in (one[:WIDTH] for text in lines for one in text.splitlines()):
        yield f"{heading} {line.strip()}" if heading and line.strip() else line
        heading = line.strip() if re.fullmatch(r"\W*usage\W*", line.strip(), re.IGNORECASE) else ""


def _argument(word: str, folder: str, variable: str) -> str:
    name, equals, value = word.partition("=")
    if A_DATABASE.search(word):
        return f"{name}={folder}/data.db" if equals else f"{folder}/data.db"
    if A_FOLDER.search(value or word):
        return f"{name}={folder}" if equals else folder
    if (found := A_VALUE.fullmatch(value or word)) and not A_COMMAND.search(found[1]):
        given = f"${{{variable}_{re.sub(r'[^A-Z0-9]+', '_', found[1].upper())}}}"
        return f"{name}={given}" if equals else given
    if SCHEME.match(word):
        return f"${{{variable}_URL}}"
    return word if re.fullmatch(r"-{0,2}[a-z][a-z0-9-]*", word) else ""


def _example(word: str, before: str, folder: str, variable: str) -> str:
    """A word of an example, as it would be here; empty if it is none that could be taken."""
    if len(word) > WIDTH:
        return ""
    if word.startswith("-") and "=" not in word:
        return word
    name, equals, value = word.partition("=") if re.match(r"-|[A-Z][A-Z0-9_]*=|[a-z][\w-]*=(?=[~./])", word) else ("", "", word)
    option = before if before.startswith("-") and "=" not in before else name
    if SCHEME.match(value) or (re.match(r"https?://", value) and AN_EXAMPLE.search(value)):
        value = f"${{{variable}_{_upper(option) or ('DATABASE_URL' if WITH_A_PASSWORD.search(value) else 'URL')}}}"
    elif re.fullmatch(r"(?:[A-Z]:|~|\.{1,2})?[\\/]\S+", value):
        value = f"{folder}/data.db" if re.search(r"\.(db|sqlite3?|duckdb)$", value) else folder
    elif A_DATABASE.search(value):
        value = f"{folder}/data.db"
    elif len(YOURS.findall(value)) > 1 and not re.search(r"\w", YOURS.sub("", value)):  # YOUR_ID/YOUR_KEY
        value = YOURS.sub(lambda one: f"${{{variable}_{one[1]}}}", value)
    elif is_blank(value) and A_FOLDER.search(value):
        value = folder
    elif is_blank(value) or AN_EXAMPLE.search(value) or is_secret(_upper(option)):  # nobody's key is taken as it stands
        is_word = is_blank(value) and re.search("[a-wyz]", value, re.IGNORECASE)
        about = _upper(re.sub(r"^\W*(input|env):", "", value) if not option or (is_word and len(option) == 2) else option)
        value = f"${{{variable}_{re.sub('^(YOUR|MY)_', '', about)}}}"
    # What else stands there is taken as it is, but for references: compose/.env has things that are nobody else's business.
    return "" if "$" in name or ("$" in value and not value.startswith(f"${{{variable}_")) else name + equals + value


def _upper(text: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")


def _bare(lines: Iterable[str]) -> set[str]:
    return {bare for line in lines if (bare := " ".join(line.split()))}
