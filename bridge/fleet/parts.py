"""What a stanza is made of: its smaller parts, and the shapes that its texts may have. Pure."""

import json
import platform
import re
import shlex
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bridge.fleet import bounds, litellm_base

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}$]*)?\}")  # ${NAME} or ${NAME:-default}, as compose reads it
RESERVED = tuple(
    """litellm prometheus database litellm-database door egress groups keys certificate tls compose alerts dashboards alertmanager healthz readyz
    metrics status.json mcp sse messages ws""".split()
)
VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")  # as Docker wants a name: one letter would be a disk of Windows
ARCHITECTURES = ("amd64", "arm64")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
BROWSERS = ("chromium", "chromium-driver", "chromium-headless-shell")  # the packages of Debian with which a browser comes
# Where that is in their images: what says it to Chrome's launchers, Puppeteer and Playwright (which is told its folder).
OF_A_BROWSER = {
    "CHROME_PATH": "/opt/browser/chromium",
    "CHROME_BIN": "/opt/browser/chromium",
    "PUPPETEER_EXECUTABLE_PATH": "/opt/browser/chromium",
    "PLAYWRIGHT_BROWSERS_PATH": "/opt/browser",
}
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


def normalized(package: str) -> str:
    """A name of PyPI as all its spellings are compared (PEP 503), without extras."""
    return re.sub(r"[-_.]+", "-", package.partition("[")[0]).lower()


def listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Words = Annotated[list[str], BeforeValidator(_words)]
Names = Annotated[list[str], BeforeValidator(listed)]
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
    BeforeValidator(listed),
]
DebianNames = Annotated[list[Annotated[str, _shaped(DEBIAN, "no name of a Debian package")]], BeforeValidator(listed)]
ORIGIN = r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?"
Hosts = Annotated[
    list[Annotated[str, _shaped(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", "a host is a name without a port")]], BeforeValidator(listed)
]
Origins = Annotated[
    list[Annotated[str, _shaped(ORIGIN, "an origin is https://HOST or http://HOST:PORT, as the browser says it")]], BeforeValidator(listed)
]
Shown = Annotated[str, AfterValidator(_for_litellm)]  # goes to LiteLLM's config
ShownNames = Annotated[list[str], BeforeValidator(listed), AfterValidator(_for_litellm)]


def architecture() -> str:
    """Of this machine, as Docker calls it; empty if no image is made for it."""
    return _MACHINES.get(platform.machine().lower(), "")


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

    allow: ShownNames = Field(default_factory=list, description="only these (globs)")
    deny: ShownNames = Field(default_factory=list, description="not these (globs)")
    rename: Annotated[dict[str, str], AfterValidator(_for_litellm)] = Field(
        default_factory=dict, description="the server's name: the name that clients see"
    )


class Secret(Part):
    """A value that never stands in an image, a generated file or a process's arguments."""

    optional: bool = Field(False, description="the server also starts without it")
    kind: Literal["value", "file"] = Field(
        "value", alias="as", description="value: the variable is the secret; file: it is the path of a file that holds it"
    )
    copy_to: str = Field(
        "", description="of a file that the server itself writes anew (a token that it refreshes): where in a volume its own copy is"
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
        if self.copy_to and self.kind != "file":
            raise ValueError("'copy_to' is about a file: write as: file beside it")
        if self.copy_to:
            bounds.check_target(self.copy_to)
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
    tools: Annotated[dict[str, float], AfterValidator(_for_litellm)] = Field(default_factory=dict, description="for each call of this tool")


class Registration(Part):
    """What LiteLLM's config says about it, beside what follows from the rest."""

    enabled: bool = True
    alias: str = Field("", description="its name in LiteLLM, before the '-' of each tool (default: the stanza's name, '_' for '-')")
    access_groups: ShownNames = Field(default_factory=list)
    allow_all_keys: bool = Field(
        True, description="LiteLLM 1.80 and newer: keys without a grant may use it; with litellm.database only where this is written"
    )
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

    @field_validator("extra_headers")
    @classmethod
    def _hand_on_no_keys(cls, headers: list[str]) -> list[str]:
        for name in litellm_base.keys_in(headers):
            raise ValueError(f"{name}: {litellm_base.HANDED_ON}")
        return headers

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
            raise ValueError(f"{self.named!r}: a volume's name is two or more letters, digits, '_', '.' and '-'; a path begins with / or .")
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
