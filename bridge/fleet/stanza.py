"""What an operator writes about one MCP, and what makes it wrong. Pure: no file is read here (`load.py` does).

A stanza says where the server comes from (exactly one of `pypi`, `npm`, `binary`, `image`, `url`, or only a `command`),
how it is started, what it needs (environment, secrets, volumes, egress), how its child is treated (`bridge`), what of
it is shown (`tools`), and which call proves that it works (`smoke`). Everything else is derived.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from bridge.fleet import bounds
from bridge.fleet.egress import checked as checked_egress
from bridge.fleet.parts import (
    NAME,
    NPM,
    PROGRAM,
    PYPI,
    REFERENCE,
    RESERVED,
    SOURCES,
    VARIABLE,
    Auth,
    Binary,
    DebianNames,
    Image,
    Limits,
    Names,
    Origins,
    Part,
    Path,
    Registration,
    Requirements,
    Scalar,
    Secret,
    Shown,
    Smoke,
    Tools,
    Volume,
    Words,
    is_url,
    listed,
)
from bridge.fleet.policy import check_policy
from bridge.group.plan import ALL


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
    links: dict[str, str] = Field(
        default_factory=dict,
        description="what it insists on writing in its own package, and where each leads: /dev/null, /tmp (for a folder), or a file in a volume",
    )
    egress: Annotated[bool | list[str], BeforeValidator(checked_egress)] = Field(
        False,
        description="may it reach beyond the fleet's own network? true, or only these: [api.github.com, '*.atlassian.net', 'git.example.com:8443']",
    )
    needs: Annotated[list[Literal["database"]], BeforeValidator(listed)] = Field(
        default_factory=list, description="services of the fleet that must be healthy first"
    )
    origins: Origins = Field(
        default_factory=list,
        description="web pages that may call it: https://chat.example; for all MCPs, write them into images/fleet.yaml",
    )
    grants: Annotated[list[Literal["docker"]], BeforeValidator(listed)] = Field(
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
        if name in (*RESERVED, ALL):
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

    @field_validator("links")
    @classmethod
    def _in_its_package(cls, value: dict[str, str]) -> dict[str, str]:
        for path in [*value, *value.values()]:
            bounds.check_target(path)
        if other := next((path for path in value if not path.startswith("/opt/server/")), ""):
            raise ValueError(f"{other!r} is not in /opt/server, where its package is: elsewhere a volume does")
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
            if patterns := [name for name in (*self.tools.allow, *self.tools.deny) if "*" in name]:
                raise ValueError(
                    f"tools: {patterns[0]!r}: LiteLLM filters the tools of a remote MCP, and knows whole names only: write them out"
                )
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
        if self.links and not (self.pypi or self.npm):
            raise ValueError("'links' are for what comes from PyPI or npm")
        inside = tuple(f"{volume.target.rstrip('/')}/" for volume in self.volumes)
        if wrong := next((to for to in self.links.values() if to not in ("/dev/null", "/tmp") and not to.startswith(inside)), ""):
            raise ValueError(f"'links': {wrong!r} is neither /dev/null nor /tmp, nor in one of its 'volumes'")
        self._check_secrets_of_callers()
        self._check_copies()
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
        if found and self.bridge.get("replicas", 1) != 1:
            raise ValueError(f"{found[0]}: per: caller, and bridge.replicas, which all callers share: leave one out")
        if len({self.secrets[name].missing for name in found}) > 1:
            raise ValueError(f"{', '.join(found)}: 'missing' must be the same for all secrets that are per: caller")

    def _check_copies(self) -> None:
        if "secret_copy" in self.bridge:
            raise ValueError("'bridge': secret_copy: write it as secrets: {NAME: {as: file, copy_to: PATH}}")
        places = [PurePosixPath(volume.target) for volume in self.volumes if not volume.read_only]
        for name, copy in self.copies.items():
            if not any(place in PurePosixPath(copy).parents for place in places):
                raise ValueError(f"{name}: copy_to: {copy!r} is in none of its volumes: what it writes there would be lost")

    @property
    def copies(self) -> dict[str, str]:
        """The variables that are the path of a file which the server may write anew, with that path."""
        return {name: secret.copy_to for name, secret in self.secrets.items() if secret.copy_to}

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

    @property
    def reaches(self) -> list[str]:
        """The only names that it may reach, by the fleet's proxy; empty where it may reach all or none."""
        return self.egress if isinstance(self.egress, list) else []

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
