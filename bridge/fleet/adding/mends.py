"""What a stanza can mend of what a trial saw: its command, its variables and keys, its storage. Pure: a draft and what was seen in, a draft out.

All of it comes from what the server and its package say and do: none is known by its name.
"""

import json
import re
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from bridge.fleet.adding.draft import Draft, holds_secret, is_secret, references
from bridge.fleet.adding.key_files import A_KEYS_FILE
from bridge.fleet.adding.sdks import SDKS
from bridge.fleet.adding.trial import dependencies, findings, needs, stand_ins, usage
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.parts import REFERENCE

DATA = "/data"
SURELY_A_PLACE = re.compile(r"(PATH|DIR|DIRECTORY|FOLDER|VAULT)$")  # DATABASE is a name more often
SETTING = re.compile(r"(^|_)(UR[IL]|HOST|ENDPOINT|USER|USERNAME|DATABASE|ORG|TENANT|PROJECT|REGION|ACCOUNT|CLIENT_ID)($|_)")
NOT_ITS_OWN = re.compile(
    r"^(PATH|NODE_PATH|PYTHONPATH|XDG_\w+|\w*(LOG|CONFIG|CERT|KEY|TOKEN|CREDENTIALS|SSL|CA|CHROME|BROWSER|EXECUTABLE|BIN|TEMP|TMP)\w*)$"
)
OF_A_PROGRAM = re.compile(
    r"(^|_)(INSTALL|INSTALLATION|SDK|RUNTIME)_(DIR|PATH|ROOT|FOLDER|DIRECTORY)$"
)  # where one is installed, and not what is kept
A_TOKENS_PLACE = re.compile(r"TOKENS?_(PATH|FILE)$")  # where it keeps those that it got
LISTENS = re.compile(r"(^|_)(BIND|LISTEN|SSE|HTTP|MCP|ALLOWED|CALLBACK|REDIRECT)(_|$)")  # where it would listen itself, and the like
TRANSPORT = re.compile(r"(^|_)TRANSPORT(_(TYPE|MODE|KIND))?$")
STDIO = (("--stdio",), ("--transport", "stdio"), ("stdio",))  # how servers are told to talk on their input and output
WANTS_A_VALUE = re.compile(r"\b(?:missing|requires?|expects?|expected|needs?)\b.{0,40}\b(?:value|argument)\b", re.IGNORECASE)
MORE_MEMORY = {"": "1g", "1g": "2g"}
MANY = 6  # variables that are tried at once
BESIDE_A_KEY = re.compile(
    r"_(UR[IL]S?|HOSTS?|HOSTNAME|ENDPOINT|USER|USERNAME|EMAIL|DATABASE|DB|DB_NAME|DATABASE_NAME|CLIENT_ID|ACCOUNT(_ID)?|ORG|TENANT(_ID)?|SITE|DOMAIN|SUBDOMAIN|INSTANCE|(CLOUD|SITE|STORE|SHOP|INSTANCE)_NAME|WORKSPACE(_(ID|SLUG))?)$"
)
BESIDE_AN_ADDRESS = re.compile(r"_(USER|USERNAME|DB|DATABASE)$")
OF_A_URL = re.compile(
    r"(^|_)(API|BASE|CONTEXT|ENDPOINT|HTTP|MCP|ROUTE|SSE|UR[IL])_?(PATH|ROOT)$|(^|_)(PREFIX|ENDPOINT|ROUTE)$"
)  # a path of no file
AN_ADDRESS = re.compile(r"https?://")
NO_FILE = re.compile(r"ENOENT|no such file|not found|does not exist|cannot (open|read)|not a (valid )?file", re.IGNORECASE)
# Keys to the server itself where it serves by HTTP, and of who counts its use.
OWN_DOOR = re.compile(
    r"^(MCP_)?(SERVER_|HTTP_|SSE_)?(AUTH|BEARER|ACCESS)_(TOKEN|KEY|SECRET)S?$|^MCP_(SERVER_|HTTP_)?API_KEY$|(^|_)(CORS|ORIGINS|TRUST(ED)?_PROX(Y|IES)|TLS|SSL|(?<!CLIENT_)CERT|JWKS|SESSION|COOKIE|HTTP|SSE|MCP_AUTH|MCP_PROXY|CALLBACK|REDIRECT)(_|$)"
    r"|(^|_)MCP_(OAUTH|JWT|STORAGE|METRICS)_|^JWT_SECRET(_KEY)?$|(^|_)STATE_(KEY|SECRET)$|^OAUTH_(INTROSPECTION|JWT)_|[A-Z]_MCP_TOKEN$|APPLICATIONINSIGHTS|TELEMETRY|^DOTENV_|^(LOG|LOGGING|METRICS)_|^SENTRY_DSN$|(^|_)OTEL_|POSTHOG"
)
# Of whoever runs it, builds it, looks at it, or talks with it elsewhere than at its input; and not of the server.
NOT_FOR_IT = re.compile(
    r"^(NODE_\w+|LD_\w+|BASH_ENV|PATH|HOME|USER|PWD|TZ|(LOCAL)?APPDATA|USERPROFILE|SYSTEMROOT|PORT|HOST|UV_\w+|NPM_\w+|PYTHON\w*|FASTMCP_\w+|DOCKER_\w+|XDG_\w+|GITHUB_ACTIONS|ACTIONS_\w+|HTTPS?_PROXY|NO_PROXY)$"
    r"|(^|_)(DEBUG|LOG|LOG_LEVEL|TESTS?|CI)(_|$)|MCP_(SERVER_)?(HOST|PORT|URL|PATH)$|(^|_)(EXTERNAL|PUBLIC)_URL$"
)
ANYBODYS = {
    "mcp",
    "server",
    "npm",
    "pypi",
    "api",
    "app",
    "client",
    "tool",
    "tools",
    "ai",
    "key",
    "auth",
    "access",
    "token",
    "data",
    "user",
    "secret",
    "service",
}
MOST_KEYS = 8  # of its own
# What is said by a program whose entry point is `async`, and what runs that.
A_COROUTINE = re.compile(r"<coroutine object \w+ at 0x")
AWAITED = "import asyncio, importlib.metadata as on; asyncio.run(on.entry_points(group='console_scripts')['{}'].load()())"
A_FEW = 2  # secrets that a server's code names: of more most are those of libraries, or of one of many services


def with_options(draft: Draft, seen: Seen) -> Draft:
    """Options that it cannot do without, where their names say that they are places; or the arguments that it tells itself."""
    if (
        seen.report["started"] or dependencies.is_broken(seen) or findings.uses_placeholder(seen)
    ):  # the last: it knows enough to look for somebody
        return draft
    if not seen.report["speaks_mcp"] or seen.report["is_client"]:  # no command of it is a server
        return draft
    if "npm" in draft.source and "Exec format error" in seen.report["why_not"]:  # a script that does not say by what it is run
        return replace(draft, command=("node", f"/opt/server/node_modules/.bin/{draft.command[0]}", *draft.command[1:]))
    if "pypi" in draft.source and any(map(A_COROUTINE.match, seen.report["words"])):
        return replace(
            draft,
            command=("python", "-c", AWAITED.format(*draft.command[:1]), *draft.command[1:]),
            why=draft.why | {"command": f"as published {draft.command[0]} makes a coroutine, and does not run it"},
        )
    program = seen.report["program"]
    if program and len(draft.command) == 1 and draft.command[0] != program:
        return replace(draft, command=(program,))
    demanded = {*draft.secrets} - {*draft.optional}
    is_refused = demanded and needs.REFUSED.search(needs.last_words(seen)) and needs.speaks_of(seen, demanded)  # which it has read then
    if not (needs.missing(seen) or is_refused) and (shown := with_shown_arguments(draft, seen)) != draft:
        return shown
    wants_a_word = usage.wants_a_command(seen)
    ended = () if wants_a_word else next((end for end in STDIO if draft.command[-len(end) :] == end), ())
    refused = ended and ended[0] in needs.last_words(seen)
    if needs.listens(seen) or refused:
        return _by_stdio(draft, seen)
    last = draft.command[-1] if draft.command else ""
    if last.startswith("--") and last in needs.last_words(seen) and WANTS_A_VALUE.search(needs.last_words(seen)):
        return with_demanded(replace(draft, command=draft.command[:-1]), seen, last)
    if (flag := needs.flag(seen)) and flag not in draft.command:
        if not holds_secret(variable_of(flag.lstrip("-"))):
            return replace(draft, command=(*draft.command, flag))
        if not needs.missing(seen):  # else a variable does as well
            return with_demanded(draft, seen, flag)
    if not needs.missing(seen) and (command := usage.with_command(seen, draft.command)) != draft.command:
        return replace(draft, command=command)
    if wanted := usage.flag(seen):
        return replace(draft, command=(*draft.command, wanted)) if wanted not in draft.command else draft
    told = _as_read(usage.arguments(seen, draft.command[0], DATA, variable_of(draft.name)), draft, seen) if draft.command else []
    if told and list(draft.command[1:]) == told[: len(draft.command) - 1] and len(told) >= len(draft.command):
        return with_places(replace(draft, command=(draft.command[0], *told)))
    if wants_a_word:
        return _with_another_word(draft, usage.servers(seen, draft.command))
    for wanted in usage.options(seen):
        draft = _with_option(draft, seen, wanted) if wanted not in draft.command else draft
    return draft


def _with_option(draft: Draft, seen: Seen, wanted: str) -> Draft:
    is_place = re.search("path|dir|folder|file|db|database|storage|root|workspace|vault|data", wanted)
    if not is_place or _read_for(seen, wanted):
        return with_demanded(draft, seen, wanted)
    place = f"{DATA}/{draft.name}" + (".db" if re.search("db|database|sqlite", wanted) else "" if not wanted.endswith("file") else ".data")
    if re.search("dir|folder|root|workspace|vault", wanted):
        place = DATA
    return with_places(replace(draft, command=(*draft.command, wanted, place)))


def _as_read(words: list[str], draft: Draft, seen: Seen) -> list[str]:
    """With the name of the variable that its code reads for the same, where there is one: the operator gives it once."""
    own = f"${{{variable_of(draft.name)}_"
    names = {word: _read_for(seen, word.removeprefix(own).rstrip("}")) for word in words if word.startswith(own)}
    return [f"${{{names[word]}}}" if names.get(word) else word for word in words]


def _with_arguments(draft: Draft, seen: Seen, words: list[str]) -> Draft:
    """With these arguments; a key among them is given by a variable instead where its code reads one: all processes see arguments. Another
    setting that its code reads from a variable is none that an example should decide."""
    rest, command, secrets = list(words), list(draft.command), list(draft.secrets)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        following = "" if equals or not rest or rest[0].startswith("-") else rest[0]
        short = REFERENCE.fullmatch(following) if len(option) == 2 else None  # which says nothing: its value does
        name = short[1].removeprefix(f"{variable_of(draft.name)}_") if short else variable_of(option.lstrip("-"))
        variable = _read_for(seen, name if short else option)
        is_key = holds_secret(name)
        if not ((short or option.startswith("--")) and variable and (is_key or (value or following) not in ("", "stdio"))):
            command.append(word)
            continue
        if is_key:  # its README may spell it otherwise
            secrets = [*(one for one in secrets if one.upper() != variable.upper()), variable]
        if following:
            rest.pop(0)
    return replace(draft, command=tuple(command), secrets=tuple(secrets))


def with_demanded(draft: Draft, seen: Seen, option: str) -> Draft:
    """With a value of the operator's for that option: by the variable that its code reads for it, unless that was tried in vain."""
    variable = _read_for(seen, option)
    if variable and variable not in {*draft.env, *draft.secrets} - {*draft.optional}:
        return with_required(draft, [variable])
    if variable:  # one value is enough
        draft = replace(without(draft, [variable]), why=draft.why | {"argument": f"as a variable {variable} did not do"})
    value = f"${{{variable or variable_of(draft.name + option)}}}"
    shown = [word.partition("=") for words in seen.report["shown"] for word in words]  # as its README has it
    given = (f"{option}={value}",) if any(name == option and equals for name, equals, _ in shown) else (option, value)
    if given[0] in draft.command:
        return draft
    is_before = any(words[0].partition("=")[0] == option for words in seen.report["shown"] if words)  # a command of the program
    return replace(draft, command=(*draft.command[:1], *given, *draft.command[1:]) if is_before else (*draft.command, *given))


def _read_for(seen: Seen, option: str) -> str:
    """The variable that its code reads for that option: in the same call, or as its name says."""
    name, reads = variable_of(option.lstrip("-")), seen.report["reads"]
    by_name = name if name in reads else next((one for one in reads if one.endswith(f"_{name}")), "")
    return seen.report["options"].get(option) or by_name


def with_shown_arguments(draft: Draft, seen: Seen) -> Draft:
    """With the arguments that its README shows, where it has none yet."""
    told = usage.shown(seen, DATA, variable_of(draft.name)) if len(draft.command) == 1 else []
    return with_places(_with_arguments(draft, seen, told)) if told else draft


def _by_stdio(draft: Draft, seen: Seen) -> Draft:
    """A server of HTTP, unless it is told: by a variable that its code reads, or by one of the ways in which others are told."""
    if variable := next((name for name in seen.report["reads"] if TRANSPORT.search(name) and name not in draft.env), None):
        return replace(draft, env=draft.env | {variable: "stdio"})
    ended = next((end for end in STDIO if draft.command[-len(end) :] == end), ())
    helps = " ".join(seen.report["help"])
    following = STDIO[STDIO.index(ended) + 1 :] if ended else sorted(STDIO, key=lambda end: end[0] not in helps)
    own = draft.command[: len(draft.command) - len(ended)]
    return replace(draft, command=(*own, *following[0])) if following else replace(draft, command=own)


def without_stdio(draft: Draft, before: Draft) -> Draft:
    """Without that by which it was told in vain to use its input, but with what stood there before."""
    now, then = (next((end for end in STDIO if one.command[-len(end) :] == end), ()) for one in (draft, before))
    env = {name: value for name, value in draft.env.items() if name in before.env or not (TRANSPORT.search(name) and value == "stdio")}
    return replace(draft, command=(*draft.command[: len(draft.command) - len(now)], *then), env=env)


def _with_another_word(draft: Draft, words: tuple[str, ...]) -> Draft:
    """A program with commands of its own, which its help does not list: one of them is the server, one of these `words`."""
    last = draft.command[-1]
    if last in usage.SERVERS:
        rest = words[words.index(last) + 1 :] if last in words else words
        return replace(draft, command=(*draft.command[:-1], *rest[:1]))
    return replace(draft, command=(*draft.command, words[0]))


def variable_of(name: str) -> str:
    """What a variable of compose/.env is called that is nobody's but this MCP's."""
    return re.sub(r"[^A-Z0-9]+", "_", name.upper())


def with_variables(draft: Draft, seen: Seen) -> Draft:
    """The variables that it asks for, as secrets or as variables of compose/.env."""
    needed = needs.missing(seen)
    is_key = partial(_is_key, draft)
    settings = {name for name in draft.optional if name in needed and not is_key(name)}  # no secrets, now that they are demanded
    draft = replace(
        draft,
        secrets=tuple(name for name in draft.secrets if name not in settings),
        optional=tuple(name for name in draft.optional if name not in needed),
    )
    there = {*draft.env, *draft.secrets, *references(draft)}
    needed = [name for name in needed if name not in there]
    named, all_failed = needs.missing_for_calls(seen)
    advice = {one["name"] for one in seen.report["published"] if one["needed"] is False and not holds_secret(one["name"])}
    if all_failed and not {*draft.secrets} - {*draft.optional}:  # a cloud's SDK found no account anywhere
        of_a_cloud = {name for sdk in SDKS for name in sdk.keys if name in named}
        draft = replace(draft, optional=tuple(name for name in draft.optional if name not in of_a_cloud))
    wished = [name for name in named if name not in {*there, *needed, *advice}]
    secret = [name for name in needed + wished if is_key(name)]
    firsts = {name.partition("_")[0] for name in secret}
    wrong = [name for name in draft.secrets if name in seen.report["misspelt"] and name.partition("_")[0] in firsts]
    draft = replace(draft, secrets=tuple(name for name in draft.secrets if name not in wrong))  # its README has another name for that
    if findings.uses_placeholder(seen):
        wished = [name for name in wished if is_key(name)]  # it knows where to go: what else it names is advice
    plain = {name: _plain(name, draft.name) for name in needed + (wished if all_failed else []) if not is_key(name)}
    is_told = any(one["needed"] for one in seen.report["published"])
    if not (secret or draft.keys or is_told) and seen.report["started"]:
        # Nobody asked for one, but its code does: it may do without, as it did here.
        given, all_failed = _may_be_given(draft, seen, there | plain.keys()), needs.wants_configuration(seen)
        secret = wished = [name for name in given if is_key(name) or not all_failed]
        plain |= {name: _plain(name, draft.name) for name in given if name not in secret}
    optional = [name for name in secret if name in wished and not all_failed]
    if seen.report["started"]:  # whatever else it is given
        has_one = {one["name"] for one in seen.report["published"] if one["default"]}
        read = [name for name in seen.report["reads"] if name not in {*there, *secret, *plain, *has_one}]
        keys = [
            name for name in _keys_of_its_own(seen) if name in read and _is_its_own(draft, seen, name) and not is_for_others(seen, name)
        ]
        others = [*there, *secret, *keys]  # of which it may be an older name
        keys = [name for name in keys if not any(one.endswith(f"_{name}") for one in others)]
        keys = [name for name in keys if not _is_half(name, {*others, *read})]
        told = _with_beside(keys[:MOST_KEYS], read)
        secret, optional = [*secret, *told], [*optional, *told]
    new = [*plain, *secret]
    demanded = {*there, *new} - {*draft.optional, *optional}
    if new and (about := needs.ways(seen, demanded)[1]):
        draft = replace(draft, why=draft.why | {"instead": about})
    draft = replace(draft, as_files=(*draft.as_files, *filter(A_KEYS_FILE.search, secret)), env=needs.settings(seen) | draft.env | plain)
    return with_places(replace(draft, secrets=(*draft.secrets, *secret), optional=(*draft.optional, *optional)))


def _is_half(name: str, others: Collection[str]) -> bool:
    """A client's secret without who that client is does nothing."""
    return name.endswith("_CLIENT_SECRET") and f"{name.removesuffix('SECRET')}ID" not in others


def _is_key(draft: Draft, name: str) -> bool:
    """Or the path of a file with one."""
    return holds_secret(name) or name in draft.as_files or bool(A_KEYS_FILE.search(name))


def _may_be_given(draft: Draft, seen: Seen, there: Collection[str]) -> list[str]:
    """The keys that its code reads and that are its own, and what belongs to them (a user, an address); of other keys only few: many are
    those of libraries, or of one of many services."""
    read = [name for name in seen.report["reads"] if name not in there]
    keys = [name for name in _keys_of_its_own(seen) if name not in there and not is_for_others(seen, name)]
    own = [name for name in keys if _is_its_own(draft, seen, name)]
    return _with_beside(own if 0 < len(own) <= MOST_KEYS else keys if len(keys) <= A_FEW else [], read)


def _with_beside(keys: list[str], read: Collection[str]) -> list[str]:
    """With what belongs to these keys: a user, an address."""
    return keys + [
        name
        for name in read
        if (found := BESIDE_A_KEY.search(name))
        and not (LISTENS.search(name.replace("_MCP_", "_")) or NOT_FOR_IT.search(name))
        and name not in keys
        and any(key.startswith(f"{name[: found.start()]}_") for key in keys)
    ]


def _keys_of_its_own(seen: Seen) -> list[str]:
    """An address (DATABASE_URL) may be a library's."""
    return [
        name
        for name in seen.report["reads"]
        if (is_secret(name) or A_KEYS_FILE.search(name)) and not (OWN_DOOR.search(name) or NOT_FOR_IT.search(name))
    ]


def _is_its_own(draft: Draft, seen: Seen, name: str) -> bool:
    """Whether its README or its tools name that variable, or it is called like the package: others are those of libraries, and of what is not the server."""
    return _is_told(seen, name) or called_like(draft, name)


def is_for_others(seen: Seen, key: str) -> bool:
    """Who shows how it is started, and never names a key that its code reads, has that for others."""
    return bool(seen.report["shown"]) and not _is_told(seen, key)


def _is_told(seen: Seen, name: str) -> bool:
    return name in seen.report["documented"] or bool(re.search(rf"\b{name}\b", json.dumps(seen.report["tools"])))


def called_like(draft: Draft, name: str) -> bool:
    first, *rest = name.lower().split("_")
    words = set(re.split(r"[^a-z0-9]+", str(draft.source).lower())) - ANYBODYS
    return (len(first) > 2 and first != "mcp" and first in str(draft.source).lower()) or any(word in words for word in (first, *rest[:-1]))


def _plain(variable: str, name: str) -> str:
    """A place of its own, where it is to be told one; else what compose/.env says."""
    if A_TOKENS_PLACE.search(variable):
        return f"{DATA}/{name}-token.json"
    is_place = (
        SURELY_A_PLACE.search(variable)
        and not OF_A_PROGRAM.search(variable)
        and (variable.endswith(("_DIR", "_DIRECTORY", "_FOLDER")) or not NOT_ITS_OWN.search(variable))
    )
    return own_place(variable, name) if is_place else f"${{{variable}}}"


def own_place(variable: str, name: str) -> str:
    if re.search("(^|_)(DB|DATABASE|SQLITE)", variable):
        return f"{DATA}/{name}.db"
    return f"{DATA}/{name}.json" if re.search("FILE(?!S)", variable) else DATA


def unsaid(draft: Draft, seen: Seen) -> list[str]:
    """The variables that its code reads, that seem to be for an operator to say, and that nobody said (of those that its publisher speaks of it is
    known what they are): its own, if there are such."""
    said = {one["name"] for one in seen.report["published"] if one["needed"] is not None}
    names = [
        name
        for name in seen.report["reads"]
        if name not in {*draft.env, *draft.secrets, *said}
        and (holds_secret(name) or SETTING.search(name))
        and not (OWN_DOOR.search(name) or NOT_FOR_IT.search(name))
    ]
    return [name for name in names if _is_its_own(draft, seen, name)] or names


def of_somebody(names: Collection[str]) -> list[str]:
    """The keys and addresses among these: what else may be set tells of nobody that it talks to."""
    return [name for name in names if holds_secret(name) or SETTING.search(name)]


def beside_a_host(seen: Seen) -> list[str]:
    """The keys that its code reads beside a host (IT_PASSWORD, IT_HOST), whether its README names them or not."""
    names = [name for name in seen.report["reads"] if name.endswith(("_HOST", "_URL")) and not LISTENS.search(name.removeprefix("MCP_"))]
    hosts = {name.rpartition("_")[0] for name in names} - {"MCP"}
    return [name for name in _keys_of_its_own(seen) if name.rpartition("_")[0] in hosts]


def with_named(draft: Draft, names: list[str]) -> Draft:
    """As secrets (what is the path of one is one), or as variables of compose/.env."""
    secret = [name for name in names if _is_key(draft, name)]
    files = dict.fromkeys([*draft.as_files, *filter(A_KEYS_FILE.search, secret)])
    plain = {name: f"${{{name}}}" for name in names if name not in secret}
    return replace(draft, secrets=(*draft.secrets, *secret), as_files=(*files,), env=draft.env | plain)


def with_required(draft: Draft, names: list[str]) -> Draft:
    """With these, which no longer may be left out."""
    kept = [tuple(name for name in known if name not in names) for known in (draft.secrets, draft.optional)]
    return with_named(replace(draft, secrets=kept[0], optional=kept[1]), names)


def without(draft: Draft, names: Collection[str]) -> Draft:
    kept = [tuple(one for one in known if one not in names) for known in (draft.secrets, draft.as_files)]
    return replace(draft, secrets=kept[0], as_files=kept[1], env={name: value for name, value in draft.env.items() if name not in names})


def with_beside(draft: Draft, seen: Seen, addresses: list[str]) -> Draft:
    """With what belongs to these addresses: the keys, the user, the database that its code reads by the same first words, as optional secrets."""
    firsts = tuple(f"{name.rpartition('_')[0]}_" for name in addresses if "_" in name)
    beside = [
        name
        for name in seen.report["reads"]
        if name.startswith(firsts)
        and name not in {*draft.env, *draft.secrets}
        and not OWN_DOOR.search(name)
        and (BESIDE_AN_ADDRESS.search(name) or (holds_secret(name) and not is_for_others(seen, name)))
    ][:MOST_KEYS]
    return replace(draft, secrets=(*draft.secrets, *beside), optional=(*draft.optional, *beside))


def without_what_is_named_twice(draft: Draft) -> Draft:
    """Nothing that its command names may be left out, and what is no secret is named once; so is what NAME_FILE would give beside NAME."""
    named = {*references(replace(draft, env={}))}
    plain = {name for name in draft.optional if name in named and not holds_secret(name)}
    files = {name for name in draft.optional if name.removesuffix("_FILE") in {*draft.secrets, *draft.env} - {name}}
    every = ((draft.secrets, plain | files), (draft.optional, named | files), (draft.as_files, files))
    kept = [tuple(name for name in known if name not in gone) for known, gone in every]
    return replace(draft, secrets=kept[0], optional=kept[1], as_files=kept[2])


def with_memory(draft: Draft, seen: Seen) -> Draft:
    """With the next more of memory, where it ended for want of that."""
    return replace(draft, memory=MORE_MEMORY.get(draft.memory, draft.memory)) if needs.wants_memory(seen) else draft


def with_files(draft: Draft, seen: Seen) -> Draft:
    """Secrets that it looked for a file by: their variable is a path."""
    lines = [*seen.report["words"], *(line for call in seen.report["calls"] for line in call["complaint"].splitlines())]
    opened = [
        name
        for name in draft.secrets
        if name not in draft.as_files and any(stand_ins.value(draft.stored_as(name)) in line and NO_FILE.search(line) for line in lines)
    ]
    return replace(draft, as_files=(*draft.as_files, *opened)) if opened else draft


def with_storage(draft: Draft, seen: Seen) -> Draft:
    """A volume for what it writes, and its home or its working directory in it."""
    found = findings.storage(seen, targets(draft))
    places = [place for place in (*found.places, *([DATA] if found.home or found.cwd else [])) if place not in targets(draft)]
    if not (places or (found.cwd and not draft.cwd) or (found.home and "HOME" not in draft.env)):
        return draft
    env = draft.env | ({"HOME": DATA} if found.home and "HOME" not in draft.env else {})
    return replace(
        draft,
        volumes=(*draft.volumes, *(volume(draft.name, place) for place in places)),
        env=env,
        cwd=DATA if found.cwd and not draft.cwd else draft.cwd,
        why=draft.why | {"volumes": f"{found.why}: kept, not lost at the next start"},
    )


def with_links(draft: Draft, seen: Seen) -> Draft:
    """With a way out of its package for the file that it insists on writing there: a log goes nowhere, a folder of them into memory, the rest
    into a volume."""
    inside = PurePosixPath(findings.storage(seen, targets(draft)).inside)
    is_of_logs = bool(findings.CACHES.search(str(inside)))
    if not (inside.suffix or is_of_logs) or str(inside) in draft.links or draft.source.keys().isdisjoint(("pypi", "npm")):
        return draft
    if is_of_logs:
        return replace(draft, links=draft.links | {str(inside): "/dev/null" if inside.suffix else "/tmp"})
    better = replace(draft, links=draft.links | {str(inside): f"{DATA}/{inside.name}"})
    if DATA in targets(draft):
        return better
    why = _kept_of_its_package(inside.name)
    return replace(better, volumes=(*draft.volumes, volume(draft.name, DATA)), why=draft.why | {"volumes": why})


def without_link(draft: Draft, path: str) -> Draft:
    """Without the link there, and the volume that is only for that."""
    if path not in draft.links:
        return draft
    links = {one: to for one, to in draft.links.items() if one != path}
    if draft.why.get("volumes") != _kept_of_its_package(PurePosixPath(path).name):
        return replace(draft, links=links)
    why = {name: said for name, said in draft.why.items() if name != "volumes"}
    return replace(draft, links=links, volumes=tuple(one for one in draft.volumes if one != volume(draft.name, DATA)), why=why)


def _kept_of_its_package(name: str) -> str:
    return f"it writes {name} in its own package: kept, not lost at the next start"


def with_driver(draft: Draft, seen: Seen) -> Draft:
    """With Debian's ODBC driver for the one database that it is for, in the variable that names a driver."""
    names = dict.fromkeys([*draft.env, *draft.secrets, *seen.report["reads"]])
    package, called = dependencies.odbc(seen, " ".join([str(draft.source), *names]), draft.apt)
    if not package:
        return draft
    env = {name: f"${{{name}:-{called}}}" for name in names if name.endswith("DRIVER")}
    kept = [tuple(name for name in known if name not in env) for known in (draft.secrets, draft.optional)]
    about = f"its ODBC driver is Debian's {called}" + (f", which {' and '.join(env)} can name otherwise" if env else "")
    why = draft.why | {"driver": f"{about}: SQL that only its maker's understands may fail"}
    return replace(draft, apt=(*draft.apt, package), env=draft.env | env, secrets=kept[0], optional=kept[1], why=why)


def with_home(draft: Draft, seen: Seen) -> Draft:
    """A home that is kept, where its README or its code says that it keeps something there, and nothing else is kept."""
    is_given = bool(draft.as_files) and bool(PurePosixPath(seen.report["home"]).suffix)  # a file that operators bring is a secret already
    if not seen.report["home"] or findings.CACHES.search(seen.report["home"]) or draft.volumes or "HOME" in draft.env or is_given:
        return draft
    why = f"by its README or its code it keeps ~/{seen.report['home']}: kept, not lost at the next start"
    return replace(draft, volumes=(volume(draft.name, DATA),), env=draft.env | {"HOME": DATA}, why=draft.why | {"volumes": why})


def with_places(draft: Draft) -> Draft:
    """A volume for each folder that its arguments and variables name, where none is mounted yet."""
    texts = [("its command", word.partition("=")[2] if "=/" in word and not word.startswith("/") else word) for word in draft.command[1:]]
    texts += [
        (name, one)
        for name, value in draft.env.items()
        if value.startswith(DATA) or not (OF_A_URL.search(name) or AN_ADDRESS.search(value))
        for one in re.split("[,;:]", value)
    ]
    known = [*targets(draft), *(["/app"] if draft.files else [])]
    paths = [
        (who, one) for who, one in texts if one.startswith("/") and not any(one == place or one.startswith(f"{place}/") for place in known)
    ]
    places = {place: who for who, path in reversed(paths) if (place := findings.place_of(path)) and place not in known}
    if not places:
        return draft
    return replace(
        draft,
        volumes=(*draft.volumes, *(volume(draft.name, place) for place in places)),
        why=draft.why | {"volumes": "; ".join(f"{who} names {place}" for place, who in places.items())},
    )


def volume(name: str, target: str) -> str:
    source = f"{name}-{target.strip('/').replace('/', '-').lower()}"
    return f"{re.sub(r'[^a-z0-9_.-]', '-', source)}:{target}"


def targets(draft: Draft) -> list[str]:
    return [one.removesuffix(":ro").removesuffix(":rw").rpartition(":")[2].rstrip("/") for one in draft.volumes]
