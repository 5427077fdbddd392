"""A stanza in the making: what is known of a new MCP, and the text that an operator goes on with. Pure.

The text is laid out by hand rather than dumped, because its comments are half of it: they stand where the operator must
decide something that nobody can know from the outside.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from bridge.fleet.bounds import one_line
from bridge.fleet.parts import BROWSERS, NAME, REFERENCE, RESERVED

SECRET = re.compile(
    r"(?:^|_)(?:TOKENS?|KEYS?|APIKEYS?|PASSWORDS?|PASSWD|PASSPHRASE|PASS|PWD|PW|PAT|PIN|SECRETS?|CREDENTIALS?|CREDS?|DSN|JWT|BEARER|AUTH(?!0_)|AUTHORIZATION|COOKIES?|SAS|OTP|MNEMONIC)\d*(?:$|_)"
    r"|(?:(?<=[A-Z]{2})PWD?|(?<=[A-Z]{2})(?<!BY)(?<!COM)PASS|SEED_?PHRASE|TOKEN|SECRET|PASSWORD|PASSWD|PASSCODE|PASSWORT|KENNWORT|SENHA|CONTRASENA|AUTHORIZATION|(?:API|APP|AUTH|PASS|SECRET|ACCESS|PRIVATE|PRIV|LICENSE|ENCRYPTION|MASTER|SIGNING)KEY)\d*$|(?:DATABASE|WEBHOOK)_UR[IL]$|(?:^|_)WEBHOOKS?$|API_?HASH$|CONN(?:ECTION)?_?STR(?:ING)?$",
    re.IGNORECASE,
)
# An address that has a password in it where there is one: postgres://USER:PASSWORD@HOST.
HAS_A_SECRET = re.compile(
    r"(?:^|_)(?:AMQP|DATABASE|DB|MARIADB|MONGO|MONGODB|MYSQL|PG|POSTGRES|POSTGRESQL|REDIS|SQLALCHEMY)_UR[IL]$", re.IGNORECASE
)
NOT_SECRET = re.compile(
    r"(?:_|^)(?:PATH|FILE|DIR|(?<!WEBHOOK_)URL|(?<!DATABASE_)(?<!WEBHOOK_)URI|ENDPOINT|HOST|PORT|NAME|HEADER|TTL|SECONDS|LENGTH|SIZE|LIMIT|COUNT|BUDGET|TYPE|MODE|METHOD|SCHEME|PROVIDER|ENABLED|DISABLED|REQUIRED|EXPIRY|TIMEOUT(?:_\w+)?|ALGORITHM|PREFIX|FORMAT|SCOPES?|BUFFER|BUDGETS?|WINDOW|MAX|MIN|INTERVAL|RETRIES|LEVEL|AGE|DAYS|HOURS|MINUTES?|MS|STORE|STORAGE|BACKEND|FLOW|ESTIMATE|USAGE|PLUGIN|USER|USERNAME|SOCK|REALM|DOMAIN|ISSUER|AUDIENCE|(?:AUTH|AUTHORIZATION)_SERVER)$"
    r"|^(?:OLD)?PWD$|(?:^|_)(?:NO|SKIP|DISABLE)_(?:\w+_)?AUTH$|(?:^|_)(?:REQUIRE|VALIDATE|VERIFY|ENFORCE|USE)_(?:\w+_)?(?:KEY|TOKEN|PASSWORD|AUTH)$"
    r"|(?:^|_)(?:TAG|SORT|PARTITION|FOREIGN|CACHE|TABLE)_KEYS?$|^(?:KEY|PASS)_|(?:^|_)(?:MASK|REDACT|HIDE|SANITI[SZ]E)_|(?:^|_)(?:MAX|MIN|NUM|PER|INPUT|OUTPUT|COMPLETION|THINKING|LIMIT|TOTAL|CONTEXT)_(?:\w+_)?TOKENS?$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"<[^<>]*>|\[[^\[\]]*\]|\{+[^{}]*\}+|\$\{[^{}]*\}|\$(?-i:[A-Z_][A-Z0-9_]*)|%(?-i:[A-Z_][A-Z0-9_]*)%|(your|enter|insert|add|put|replace)[-_ ].*|my[-_ ](\w+[-_ ])?(key|token|secret|password)|.*[-_ ]here"
    r"|(?:seu|sua|tu|su|votre|ton|dein|deine|ihre?|il tuo)[-_ ].*(?:api|key|token|secret|passwor[dt]|chave|clave|cl[eé]|senha|schl[üu]ssel|contrase|chiave|url).*|.*(?:你的|您的|请输入|あなたの|ваш).*"
    r"|x{3,}|\*{3,}|\.{3}|…|change[-_ ]?me",
    re.IGNORECASE,
)
PLAIN = re.compile(r"[\w./@+=~:-]+", re.ASCII)  # a word that no shell reads as another
MANY_BYTES = 60_000  # of tool descriptions, which every model reads again at each question

_OF_ALL = [
    "bridge: {isolation: auto}    # shared: one child for all; session: it remembers things that are nobody else's business;",
    "                             # max_in_flight: 1 if calls at once may hurt each other (it writes files)",
]
_OF_A_BROWSER = [
    "bridge: {isolation: principal, max_in_flight: 1, max_children: 4, idle_stop: 900}    # a browser for each token, and its pages for nobody else",
    "limits: {memory: 2g, pids: 512, shm: 512m}",
]


@dataclass(frozen=True)
class Draft:
    """What will stand in the stanza. `source` is one of its source fields with its value; empty for a bare command."""

    name: str
    source: dict[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    description: str = ""
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    files: str = ""
    python: str = ""
    transport: str = ""
    auth: dict[str, str] = field(default_factory=dict)
    static_headers: dict[str, str] = field(default_factory=dict)
    tools: tuple[dict[str, Any], ...] | None = None  # as the server listed them; None if it was not tried
    smoke: dict[str, Any] | None = None
    whole_command: bool = False  # of an image: its own entrypoint is not put before
    build: bool = False
    constraints: dict[str, str] = field(default_factory=dict)  # each with the reason why it is there
    overrides: dict[str, str] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)  # of the secrets: those that have another name in compose/.env
    as_files: tuple[str, ...] = ()  # of the secrets: those whose variable is the path of a file
    copies: dict[str, str] = field(default_factory=dict)  # of these: those that the server writes anew, and where it may
    optional: tuple[str, ...] = ()  # of the secrets: those that it starts without
    cwd: str = ""
    links: dict[str, str] = field(default_factory=dict)
    memory: str = ""  # empty: as the fleet's default is
    unproved: dict[str, Any] | None = None  # a call that would prove it elsewhere, but did not here
    egress: bool | None = None  # None: nobody knows
    reached: tuple[str, ...] = ()  # the names that it tried, as a list of `egress` would say them
    why: dict[str, str] = field(default_factory=dict)  # a field -> what was seen that decided it

    @property
    def talks(self) -> bool:
        """Whether its keys and addresses say that it talks to somebody."""
        return bool(
            set(self.secrets) - set(self.optional)
            or references(self)
            or any(word.startswith("-") and is_secret(_variable_of(word)) for word in self.command)  # --credentials FILE
            or any(re.search(r"\b(?!file:)[a-z][a-z0-9+.-]*://\S", text) for text in (*self.env.values(), *self.command))
        )

    @property
    def keys(self) -> list[str]:
        """Of its secrets: those that are some. A setting that may be left out stands among them, too."""
        return [name for name in self.secrets if holds_secret(name)]

    @property
    def browses(self) -> bool:
        """Whether it has a browser."""
        return bool(set(self.apt) & {*BROWSERS})

    def stored_as(self, secret: str) -> str:
        """Its name in compose/.env and compose/secrets/."""
        return self.stored.get(secret, secret)

    @property
    def fields(self) -> dict[str, Any]:
        """The same as `text` says, as data."""
        return {**yaml.safe_load(self.text), "name": self.name}

    @property
    def text(self) -> str:
        about = one_line(self.description)
        lines = [f"description: {flow(about)}" if about else "# description: one line, for people and for models"]
        lines += [f"{name}: {flow(value)}" for name, value in self.source.items()]
        if self.build:
            lines += ["build: true    # what does not come built is built, which runs its code"]
        for name, mended in (("constraints", self.constraints), ("overrides", self.overrides)):
            if mended:
                lines += [f"{name}:", *(f"  - {flow(wanted)}    # {comment(why)}" for wanted, why in mended.items())]
        if self.transport:
            lines += [f"transport: {self.transport}"]
        if self.auth:
            lines += [f"auth: {flow(self.auth)}"]
        if self.python:
            lines += [f"python: {flow(self.python)}" + (f"    # {comment(self.why['python'])}" if "python" in self.why else "")]
        if self.apt:
            lines += [f"apt: {flow(list(self.apt))}"]
        if self.files:
            lines += [f"files: {self.files}    # copied to /app"]
        if self.command:
            line = " ".join(self.command)
            line = line if all(map(PLAIN.fullmatch, self.command)) and flow(line) == line else flow(list(self.command))
            lines += [f"command: {line}" + (f"    # {comment(self.why['command'])}" if "command" in self.why else "")]
        if self.env:
            lines += ["env:", *(f"  {flow(name)}: {flow(value)}" for name, value in self.env.items())]
        if self.secrets:
            lines += [
                "secrets:    # their values belong into compose/.env",
                *(f"  {flow(name)}: {flow(self._about(name))}" for name in self.secrets),
            ]
        if self.volumes:
            about = (
                comment(self.why.get("volumes", ""))
                or "user 10001 must be allowed to read (and write) them; :ro at the end forbids writing"
            )
            lines += [f"volumes: {flow(list(self.volumes))}    # {about}"]
        if self.cwd:
            lines += [f"cwd: {flow(self.cwd)}"]
        if self.links:
            lines += [f"links: {flow(self.links)}    # what it insists on writing in its own package, which is read-only"]
        if self.static_headers:
            lines += [f"litellm: {flow({'static_headers': self.static_headers})}"]
        return "\n".join(lines + ([] if "url" in self.source else self._decisions())) + "\n"

    def _about(self, secret: str) -> dict[str, Any]:
        kind = {"as": "file"} if secret in self.as_files else {}
        return (
            kind
            | ({"copy_to": self.copies[secret]} if secret in self.copies else {})
            | ({"optional": True} if secret in self.optional else {})
            | ({"from": self.stored[secret]} if secret in self.stored else {})
        )

    def _decisions(self) -> list[str]:
        allowed = self.talks if self.egress is None else self.egress
        lines = [
            f"egress: {str(allowed).lower()}    # "
            + (
                comment(self.why.get("egress", ""))
                or (
                    "it seems to talk to somebody: false if that is inside the fleet"
                    if allowed
                    else "true if it must reach anything beyond the fleet's own network"
                )
            )
        ]
        if allowed and self.reached:  # a trial sees a part of what it does, so this is for the operator to decide
            lines += [
                f"# egress: {flow(list(self.reached))}    what its trial tried; a list lets it reach nothing else, and",
                "#                             `mcp-bridge logs egress` says what it was refused",
            ]
        lines += _OF_A_BROWSER if self.browses else _OF_ALL
        if self.memory and not self.browses:
            lines += [f"limits: {{memory: {self.memory}}}    # it ended for want of memory with less"]
        if self.tools and (size := sum(len(str(tool)) for tool in self.tools)) > MANY_BYTES:
            lines += [
                f"# It has {len(self.tools)} tools, {size // 1000} KB of descriptions: name those that are needed.",
                f"# tools: {{allow: [{', '.join(flow(tool['name']) for tool in self.tools[:5])}, …]}}",
            ]
        if self.smoke:
            lines += [f"smoke: {flow(self.smoke)}"]
        elif self.unproved:
            lines += [f"# smoke: {flow(self.unproved)}    not proved: {comment(self.why.get('smoke', 'it failed here'))}"]
        else:
            lines += ["# smoke: {tool: …, arguments: {…}, expect: …}    a call that does no harm and proves that it works"]
        return lines


def flow(value: Any) -> str:
    """`value` in one line of YAML."""

    def dumped(style: str | None) -> str:
        return (
            yaml.safe_dump(value, default_flow_style=True, default_style=style, width=1 << 20, allow_unicode=True, sort_keys=False)
            .removesuffix("...\n")
            .strip()
        )

    line = dumped(None)
    # Only that style escapes line breaks. YAML 1.1 (4.2) knows U+0085, U+2028 and U+2029, too, and each of them ends a comment.
    return dumped('"') if len(line.splitlines()) > 1 else line


def comment(text: str, longest: int = 200) -> str:
    """`text` such that it stays a comment, whoever wrote it: in one line, and nothing that a terminal obeys."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:longest]


def stanza_name(text: str) -> str:
    """A name for an MCP that others call `text`."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = re.sub(r"^[^a-z]+", "", name) or "mcp-server"
    return f"my-{name}" if name in RESERVED or not NAME.fullmatch(name) else name


def _variable_of(option: str) -> str:
    return re.sub(r"_(FILE|PATH)$", "", option.partition("=")[0].lstrip("-").replace("-", "_").upper())


def is_secret(name: str) -> bool:
    return bool(SECRET.search(name)) and not NOT_SECRET.search(name)


def holds_secret(name: str) -> bool:
    """The same where there is no value yet to look at: an address may well have a password in it."""
    return is_secret(name) or bool(HAS_A_SECRET.search(name))


def is_blank(value: str) -> bool:
    """Is it a placeholder for what somebody should write there?"""
    value = value.strip()
    return not value or (bool(_PLACEHOLDER.fullmatch(value)) and not _is_json(value))


def _is_json(value: str) -> bool:
    try:
        return isinstance(json.loads(value), dict | list)
    except (ValueError, RecursionError):
        return False


def executable(package: str, found: list[str]) -> str:
    """Which of the programs that a package installs is its server, as well as names tell."""
    short = package.rpartition("/")[2].partition("[")[0]
    scope = package.partition("/")[0].lstrip("@")
    named = sorted((name for name in found if "mcp" in name), key=lambda name: "stdio" not in name)
    for likely in (short, short.replace("_", "-"), f"{scope}-{short}"):
        if likely in found and ("mcp" in short or not named):
            return likely
    return (named or found)[0]


def references(draft: Draft) -> list[str]:
    """The variables that it wants from compose/.env, beside secrets."""
    texts = [*draft.env.values(), *draft.command]
    return list(dict.fromkeys(found[1] for text in texts for found in REFERENCE.finditer(text) if found[2] is None))
