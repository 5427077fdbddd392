"""What an operator writes about one MCP, and what makes it wrong. Pure: no file is read here (`load.py` does).

A stanza says where the server comes from (exactly one of `pypi`, `npm`, `binary`, `image`, `url`, or only a `command`),
how it is started, what it needs (environment, secrets, volumes, egress), how its child is treated (`bridge`), what of
it is shown (`tools`), and which call proves that it works (`smoke`). Everything else is derived.
"""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bridge.fleet import bounds
from bridge.fleet.policy import check_policy

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}$]*)?\}")  # ${NAME} or ${NAME:-default}, as compose reads it
RESERVED = tuple("""litellm prometheus database door keys compose alerts healthz readyz metrics status.json mcp sse messages ws""".split())
VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # as Docker wants a name
ARCHITECTURES = ("amd64", "arm64")
SOURCES = ("pypi", "npm", "binary", "image", "url")
# What a build reads in a shell, or as an option, is of these letters only.
PYPI = r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?==[A-Za-z0-9.!+_-]+"
NPM = r"(@[a-z0-9~][a-z0-9~._-]*/)?[a-z0-9~][a-z0-9~._-]*@[0-9][A-Za-z0-9.+-]*"
DEBIAN = r"[a-z0-9][a-z0-9.+-]+(=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?"
IMAGE = r"[a-z0-9][A-Za-z0-9._:/-]*(@sha256:[0-9a-f]{64})?"
BESIDE = r"[A-Za-z0-9_][A-Za-z0-9._+@-]*(/[A-Za-z0-9_@][A-Za-z0-9._+@-]*)*"
PROGRAM = r"[A-Za-z0-9_][A-Za-z0-9._+@-]*"
KEY_HEADERS = tuple("authorization x-api-key host cookie connection content-type content-length accept origin mcp-session-id".split())
HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"


def _words(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Words = Annotated[list[str], BeforeValidator(_words)]
Names = Annotated[list[str], BeforeValidator(_listed)]
Scalar = str | int | float | bool


def _shaped(pattern: str, what: str) -> AfterValidator:
    """Text that is empty or looks so, `{arch}` aside."""

    def check(text: str) -> str:
        if text and not re.fullmatch(pattern, text.replace("{arch}", "amd64")):
            raise ValueError(f"{text!r}: {what}")
        return text

    return AfterValidator(check)


def _for_litellm(value: Any) -> Any:
    for _, text in bounds.texts(value):
        bounds.check_for_litellm(text)
    return value


Path = Annotated[str, _shaped(BESIDE, "a path below the package or folder, of letters, digits, '.', '_', '-', '+' and '@', without '..'")]
Image = Annotated[str, _shaped(IMAGE, "an image is [REGISTRY/]NAME[:TAG][@sha256:DIGEST]")]
Requirements = Annotated[
    list[Annotated[str, _shaped(r"[A-Za-z0-9@][^\s;$`\\]*", "a requirement begins with a package's name, and has no spaces")]],
    BeforeValidator(_listed),
]
DebianNames = Annotated[list[Annotated[str, _shaped(DEBIAN, "no name of a Debian package")]], BeforeValidator(_listed)]
ORIGIN = r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?"
Hosts = Annotated[
    list[Annotated[str, _shaped(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", "a host is a name without a port")]], BeforeValidator(_listed)
]
Origins = Annotated[
    list[Annotated[str, _shaped(ORIGIN, "an origin is https://HOST or http://HOST:PORT, as the browser says it")]], BeforeValidator(_listed)
]
Shown = Annotated[str, AfterValidator(_for_litellm)]  # goes to LiteLLM's config
ShownNames = Annotated[list[str], BeforeValidator(_listed), AfterValidator(_for_litellm)]


def is_url(text: str) -> bool:
    """Whether it is the address of something to talk HTTP with."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text) and parts.port != 0
    except ValueError:
        return False


class Part(BaseModel):
    """A piece of a stanza: unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _is_of_one_line(cls, value: Any) -> Any:
        """All of it: a line break makes active lines in files where nobody looks for them."""
        wrong = [
            InitErrorDetails(type=PydanticCustomError("text", "{why}", {"why": why}), loc=place, input=text)
            for place, text in bounds.texts(value)
            if (why := bounds.why_not_text(text)) and not cls._may_have_lines(place)
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return value

    @classmethod
    def _may_have_lines(cls, place: bounds.Place) -> bool:
        return False


class Smoke(Part):
    """A harmless call that proves the server works."""

    tool: str = Field(description="the tool to call, by the name that its server gives it")
    arguments: dict[str, Any] = Field(default_factory=dict)
    expect: str = Field("", description="text that must stand in the answer")
    build: bool = Field(True, description="also call it while the image is built: false if it needs network, a secret or a volume")
    internet: bool = Field(False, description="it asks a host of the internet: where there is none, `verify` leaves it out and says so")

    @classmethod
    def _may_have_lines(cls, place: bounds.Place) -> bool:
        return place[:1] == ("arguments",)  # JSON writes them as escapes

    @field_validator("arguments")
    @classmethod
    def _is_json(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for name, value in arguments.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                raise ValueError(f"{name}: {type(value).__name__} cannot be written as JSON; quote dates and other strings") from None
        return arguments


class Tools(Part):
    """Which tools are shown, and under which names. Done by the bridge, so it means the same for every client."""

    allow: Names = Field(default_factory=list, description="only these (globs)")
    deny: Names = Field(default_factory=list, description="not these (globs)")
    rename: dict[str, str] = Field(default_factory=dict, description="the server's name: the name that clients see")


class Secret(Part):
    """A value that never stands in an image, a generated file or a process's arguments."""

    optional: bool = Field(False, description="the server also starts without it")
    kind: Literal["value", "file"] = Field(
        "value", alias="as", description="value: the variable is the secret; file: it is the path of a file that holds it"
    )
    source: str = Field("", alias="from", description="its name in compose/.env, where another MCP has a different value of this name")
    per: Literal["fleet", "caller"] = Field(
        "fleet", description="caller: each caller has its own, in compose/secrets/NAME/CALLER or in a header; the server runs once for each"
    )
    header: Annotated[str, _shaped(r"[A-Za-z0-9-]+", "a header's name is letters, digits and '-': the door passes no other on")] = Field(
        "", description="the header in which callers send their own value with every request; it wins over the file"
    )
    missing: Literal["refuse", "fallback"] = Field(
        "refuse", description="what a caller without a value of its own gets: a refusal, or the server with the value of compose/.env"
    )
    description: str = Field("", description="what it is and where to get it")

    @model_validator(mode="after")
    def _is_a_callers(self) -> Self:
        if self.per == "fleet" and (self.header or self.missing == "fallback"):
            raise ValueError("'header' and 'missing' are about a secret that each caller has its own of: write per: caller beside them")
        if self.per == "caller" and self.kind == "file":
            raise ValueError("'as: file' and 'per: caller': a caller's own secret is given as the value of the variable")
        if self.header.lower() in KEY_HEADERS:
            raise ValueError(f"'header': {self.header} says who calls, or is HTTP's own: take another one, X-My-Key for instance")
        return self

    @property
    def is_per_caller(self) -> bool:
        return self.per == "caller"


class Auth(Part):
    """How to greet a remote MCP, in LiteLLM's words; the value itself or, better, the environment variable that has it."""

    type: Literal["none", "api_key", "bearer_token", "basic", "authorization"] = "bearer_token"
    value: Shown = ""
    value_env: str = Field("", description="the variable of LiteLLM's environment that has the value")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.type != "none" and bool(self.value) == bool(self.value_env):
            raise ValueError("give one of 'value' and 'value_env'")
        if self.value_env and not VARIABLE.fullmatch(self.value_env):
            raise ValueError(f"value_env: {self.value_env!r} is not the name of an environment variable")
        bounds.check_reference(self.value_env)
        return self


class Cost(Part):
    """US dollars."""

    default: float | None = Field(None, description="for each call")
    tools: dict[str, float] = Field(default_factory=dict, description="for each call of this tool")


class Registration(Part):
    """What LiteLLM's config says about it, beside what follows from the rest."""

    enabled: bool = True
    alias: str = Field("", description="its name in LiteLLM, before the '-' of each tool (default: the stanza's name, '_' for '-')")
    access_groups: ShownNames = Field(default_factory=list)
    allow_all_keys: bool = Field(True, description="LiteLLM 1.80 and newer: keys without a grant may use it")
    timeout: float | None = Field(None, gt=0, description="seconds for a call; LiteLLM 1.90 and newer")
    extra_headers: ShownNames = Field(
        default_factory=list, description="headers of the client that are passed on; LiteLLM 1.77.7 and newer"
    )
    static_headers: dict[str, str] = Field(
        default_factory=dict,
        description="headers that LiteLLM always sends; a value 'os.environ/NAME' is a variable of its environment; 1.79.3 and newer",
    )
    cost: Cost | None = None
    logo_url: Annotated[str, _shaped(r"https?://[^\s\"'<>`]+", "write http://… or https://…")] = ""

    @field_validator("static_headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not re.fullmatch(HEADER, name):
                raise ValueError(f"{name!r} is not the name of a header")
            if value.startswith(bounds.REFERENCE_OF_LITELLM):
                bounds.check_reference(value.removeprefix(bounds.REFERENCE_OF_LITELLM))
        return headers

    @field_validator("alias")
    @classmethod
    def _is_a_name(cls, alias: str) -> str:
        if alias and not re.fullmatch(r"[a-z][a-z0-9_]*", alias):
            raise ValueError(f"{alias!r}: LiteLLM needs a lower-case letter, then letters, digits and '_'; a '-' makes it refuse to start")
        return alias


class Binary(Part):
    """One executable. `{arch}` stands for amd64 or arm64, wherever it comes from."""

    url: Annotated[str, _shaped(r"(https?|file)://[A-Za-z0-9._~:/?#@!&()*+,;=%\[\]-]+", "write https://…, other characters as %XX")] = (
        Field("", description="where to fetch it from: an executable, or an archive (.tar.gz, .zip) that holds `path`")
    )
    sha256: dict[Literal["amd64", "arm64"], Annotated[str, _shaped("[0-9a-f]{64}", "64 hexadecimal digits")]] = Field(
        default_factory=dict, description="of what `url` gives, by architecture"
    )
    npm: Annotated[str, _shaped(NPM, "write NAME@VERSION")] = Field("", description="the npm package (NAME@VERSION) that holds it")
    pypi: Annotated[str, _shaped(PYPI, "write NAME==VERSION")] = Field(
        "", description="the PyPI package (NAME==VERSION) whose wheel holds it"
    )
    file: Path = Field("", description="a file beside the stanza")
    path: Path = Field("", description="where it is inside the package or archive")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in ("url", "npm", "pypi", "file") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give one of 'url', 'npm', 'pypi' and 'file'")
        if self.url and not self.sha256:
            raise ValueError("'url' needs 'sha256', by architecture: what is fetched must be what you looked at")
        if (self.npm or self.pypi) and not self.path:
            raise ValueError(f"'{given[0]}' needs 'path': where the executable is inside the package")
        return self


class Limits(Part):
    """What its container may use."""

    memory: str = Field("512m", pattern=r"^[1-9][0-9]*[kmg]$", description="as compose reads it: 256m, 1g")
    pids: int = Field(128, ge=8)
    cpus: float | None = Field(None, gt=0)
    shm: str = Field("", pattern=r"^([1-9][0-9]*[kmg])?$", description="size of /dev/shm, for browsers")


class Volume(Part):
    """`SOURCE:TARGET[:ro]`. SOURCE is a volume's name, a path that begins with / or ., or `${NAME:-one of these}`."""

    source: str
    target: str
    read_only: bool = False

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"((?:\$\{[^}]*\}|[^:$])+):(/[^:]*)(:ro|:rw)?", value)
        if not found:
            raise ValueError(f"{value!r}: write SOURCE:/TARGET or SOURCE:/TARGET:ro")
        return {"source": found[1], "target": found[2], "read_only": found[3] == ":ro"}

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if self.named and not VOLUME.fullmatch(self.named):
            raise ValueError(f"{self.named!r}: a volume's name is letters, digits, '_', '.' and '-'; a path begins with / or .")
        if why := bounds.why_not_named(self.named):
            raise ValueError(why)
        bounds.check_covers(bounds.check_target(self.target), self.read_only)
        if self.path and (why := bounds.why_not_mounted(self.path)):
            raise ValueError(why)
        return self

    @property
    def path(self) -> str:
        """The path of the machine that it is unless the operator says otherwise; empty for a named volume."""
        return "" if self.named else REFERENCE.sub(lambda found: (found[2] or ":-")[2:], self.source)

    @property
    def named(self) -> str:
        """The named volume that it is unless the operator says otherwise; empty for a path."""
        source = REFERENCE.sub(lambda found: (found[2] or ":-")[2:], self.source) if REFERENCE.fullmatch(self.source) else self.source
        return "" if not source or source[0] in "/.~$" else source


class Stanza(Part):
    """One MCP of the fleet."""

    name: str = Field(description="its folder's name; what it is called everywhere")
    description: Shown = Field("", description="one line, for people and for LiteLLM")

    pypi: Names = Field(default_factory=list, description="PyPI packages, pinned: NAME==VERSION")
    npm: Names = Field(default_factory=list, description="npm packages, pinned: NAME@VERSION")
    binary: Binary | None = Field(None, description="an executable that needs no runtime")
    image: Image = Field("", description="an existing image with a stdio server in it; it is wrapped, not changed")
    url: str = Field("", description="a remote MCP: nothing is built, LiteLLM is told of it")

    python: str = Field("3.13", pattern=r"^3\.\d+$", description="the Python that its packages are installed for")
    constraints: Requirements = Field(default_factory=list, description="more requirements for the lock: pydantic<2.12")
    overrides: Requirements = Field(
        default_factory=list,
        description="requirements for the lock that win over what packages ask for: pglast>=7.20,<8 (npm: NAME@VERSION)",
    )
    build: bool = Field(
        False, description="what does not come built (a PyPI package without a wheel, a native add-on of npm) is built, which runs its code"
    )
    apt: DebianNames = Field(default_factory=list, description="Debian packages that it needs")
    files: Path = Field("", description="a folder beside the stanza that is copied to /app")
    command: Words = Field(default_factory=list, description="what to run: the real executable, never npx or uvx")
    cwd: Annotated[str, AfterValidator(lambda path: path and bounds.check_target(path))] = Field("", description="where it runs")

    env: dict[str, Scalar] = Field(default_factory=dict, description="its environment; ${NAME} and ${NAME:-default} come from compose/.env")
    secrets: dict[str, Secret] = Field(default_factory=dict, description="variables whose values are secrets")
    volumes: list[Volume] = Field(default_factory=list)
    egress: bool = Field(False, description="may it reach beyond the fleet's own network?")
    needs: Annotated[list[Literal["database"]], BeforeValidator(_listed)] = Field(
        default_factory=list, description="services of the fleet that must be healthy first"
    )
    origins: Origins = Field(
        default_factory=list,
        description="web pages that may call it: https://chat.example; for all MCPs, write them into images/fleet.yaml",
    )
    grants: Annotated[list[Literal["docker"]], BeforeValidator(_listed)] = Field(
        default_factory=list, description="docker: Docker's socket, with which its server may do anything on this machine"
    )
    tests_only: bool = Field(False, description="start it only with the profile 'tests'")
    limits: Limits = Field(default_factory=Limits)

    bridge: dict[str, Any] = Field(
        default_factory=dict, description="per-MCP options of `mcp-bridge serve`: isolation, max_in_flight, spares, …"
    )
    tools: Tools = Field(default_factory=Tools)
    pin: Literal["warn", "hide", "off"] = Field(
        "warn",
        description="tools that are not as tools.lock.json beside the stanza has them approved: warn tells, hide serves none of them, off",
    )
    smoke: Smoke | None = Field(None, description="the call that `verify` makes")
    litellm: Registration = Field(default_factory=Registration)

    transport: Literal["http", "sse"] | None = Field(None, description="of a remote MCP")
    auth: Auth | None = Field(None, description="for a remote MCP")

    @classmethod
    def _may_have_lines(cls, place: bounds.Place) -> bool:
        return place[:2] == ("smoke", "arguments")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r}: a name is lower-case letters, digits and single '-', and begins with a letter")
        if name in RESERVED:
            raise ValueError(f"{name!r} is taken by the fleet itself: call it my-{name}")
        return name

    @field_validator("pypi")
    @classmethod
    def _python_pins(cls, packages: list[str]) -> list[str]:
        for package in packages:
            if not re.fullmatch(PYPI, package):
                raise ValueError(f"{package!r} is not pinned: write NAME==VERSION (`mcp-bridge add` finds the newest)")
        return packages

    @field_validator("npm")
    @classmethod
    def _node_pins(cls, packages: list[str]) -> list[str]:
        for package in packages:
            if not re.fullmatch(NPM, package):
                raise ValueError(f"{package!r} is not pinned: write NAME@VERSION (`mcp-bridge add` finds the newest)")
        return packages

    @field_validator("secrets", mode="before")
    @classmethod
    def _secret_names(cls, value: Any) -> Any:
        """A list of names is a mapping with nothing to say about each."""
        if isinstance(value, (list, tuple)):
            if wrong := [name for name in value if not isinstance(name, str)]:
                raise ValueError(f"{wrong[0]!r}: write a list of names, or NAME: {{…}} for each without '-'")
            value = {name: {} for name in value}
        if isinstance(value, dict):
            return {name: {} if said is None else said for name, said in value.items()}
        return value

    @field_validator("env", "secrets")
    @classmethod
    def _variables(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of an environment variable")
            bounds.check_variable(name)
        return value

    @field_validator("secrets")
    @classmethod
    def _different_files(cls, value: dict[str, Secret]) -> dict[str, Secret]:
        """The files that a container sees have lower-case names."""
        seen: dict[str, str] = {}
        for name in (secret.source or name for name, secret in value.items()):
            if not VARIABLE.fullmatch(name):
                raise ValueError(f"'from': {name!r} is not the name of a variable")
            bounds.check_reference(name)
            if (other := seen.get(name.lower(), name)) != name:
                raise ValueError(f"{other!r} and {name!r} differ in their case only: rename one")
            seen[name.lower()] = name
        return value

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if url and not is_url(url):
            raise ValueError(f"{url!r}: write http://… or https://…")
        return url

    @field_validator("bridge")
    @classmethod
    def _policy(cls, value: dict[str, Any]) -> dict[str, Any]:
        checked = check_policy(value)
        if "pin" in checked or "pin_file" in checked:
            raise ValueError("pin: write it beside 'bridge', and not into it: what is approved stands in tools.lock.json beside the stanza")
        return checked

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        sources = [name for name in SOURCES if getattr(self, name)]
        if len(sources) > 1:
            raise ValueError(f"{' and '.join(sources)}: a server comes from one place")
        if self.url:
            if self.transport is None:
                raise ValueError("'url' needs 'transport': http or sse")
            if self.command:
                raise ValueError("'url' names a remote MCP: there is no 'command' to run")
            if self.pin == "hide":
                raise ValueError("'pin: hide' is done by the bridge, and a remote MCP has none: LiteLLM asks it itself")
        elif self.transport or self.auth:
            raise ValueError("'transport' and 'auth' are for a remote MCP ('url'): a sidecar has all transports and the fleet's token")
        elif not self.command:
            raise ValueError(
                "'command' is missing: the executable that the package installs"
                + (", as `docker inspect` shows the image's entrypoint (`mcp-bridge add --image` reads it)" if self.image else "")
            )
        elif self.command[0] in ("npx", "uvx", "bunx", "pnpx"):
            raise ValueError(f"'{self.command[0]}' installs at every start: name the executable that the package installs")
        if self.kind == "binary" and not re.fullmatch(PROGRAM, self.command[0].rpartition("/")[2]):
            raise ValueError(f"'command': {self.command[0]!r}: a program's name is letters, digits, '.', '_', '+', '@' and '-'")
        for text in self.with_references:
            for found in REFERENCE.finditer(text):
                bounds.check_reference(found[1])
        self._check_secrets_of_callers()
        both = set(self.env) & set(self.secrets)
        if both:
            raise ValueError(f"{', '.join(sorted(both))}: in 'env' and in 'secrets'")
        return self

    def _check_secrets_of_callers(self) -> None:
        if "caller_secret" in self.bridge or "caller_secret_missing" in self.bridge:
            raise ValueError("'bridge': caller_secret: write it as secrets: {NAME: {per: caller}}")
        found = self.caller_secrets
        if found and self.url:
            raise ValueError(f"{found[0]}: per: caller: a remote MCP has no bridge; LiteLLM passes on what litellm.extra_headers names")
        if found and self.bridge.get("isolation", "auto") != "auto":
            raise ValueError(
                f"{found[0]}: per: caller, and bridge.isolation: a caller's own value needs a process of its own: leave one out"
            )
        if len({self.secrets[name].missing for name in found}) > 1:
            raise ValueError(f"{', '.join(found)}: 'missing' must be the same for all secrets that are per: caller")

    @property
    def kind(self) -> str:
        """What its image is made from: python, node, binary, image, command; or remote."""
        kinds = {"pypi": "python", "npm": "node", "url": "remote"}
        return next((kinds.get(name, name) for name in SOURCES if getattr(self, name)), "command")

    @property
    def is_remote(self) -> bool:
        return bool(self.url)

    @property
    def litellm_name(self) -> str:
        """Its name in LiteLLM's config: `^[a-z][a-z0-9_]*$`, because a '-' there makes LiteLLM exit."""
        return self.litellm.alias or self.name.replace("-", "_")

    @property
    def required_secrets(self) -> list[str]:
        """By the names that their values have in compose/.env."""
        return [self.stored(name) for name, secret in self.secrets.items() if not (secret.optional or secret.is_per_caller)]

    @property
    def caller_secrets(self) -> list[str]:
        """The variables of which each caller has a value of its own."""
        return [name for name, secret in self.secrets.items() if secret.is_per_caller]

    @property
    def secret_headers(self) -> list[str]:
        """The headers in which callers send values of their own."""
        return [header.lower() for name in self.caller_secrets if (header := self.secrets[name].header)]

    @property
    def refuses_without(self) -> list[str]:
        """The secrets without which a caller's calls are refused."""
        return [name for name in self.caller_secrets if self.secrets[name].missing == "refuse"]

    def stored(self, secret: str) -> str:
        """The name in compose/.env, and of the file, of what the server knows as `secret`."""
        return self.secrets[secret].source or secret

    @property
    def with_references(self) -> list[str]:
        """The texts in which ${NAME} means a variable of compose/.env. Nowhere else does it."""
        return [str(value) for value in self.env.values()] + self.command + [volume.source for volume in self.volumes]

    @property
    def required_variables(self) -> list[str]:
        """Variables of compose/.env without which it cannot start, in the order of their first use."""
        return list(dict.fromkeys(found[1] for text in self.with_references for found in REFERENCE.finditer(text) if found[2] is None))

    @property
    def profile(self) -> str:
        """The compose profile that it starts with; empty if it always does."""
        if self.tests_only:
            return "tests"
        return self.name if self.required_secrets or self.required_variables or self.needs else ""

    def missing(self, environment: Mapping[str, str]) -> list[str]:
        """The variables without a value in `environment` that it needs to start."""
        return [name for name in (*self.required_secrets, *self.required_variables) if not environment.get(name)]
