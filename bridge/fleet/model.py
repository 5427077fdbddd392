"""The fleet: all stanzas, and what is said once for all of them. The same model from YAML and from Python."""

import re
from collections import Counter
from collections.abc import Collection, Container
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bridge.fleet import callers, litellm_base
from bridge.fleet.bounds import Place
from bridge.fleet.litellm_releases import why_not
from bridge.fleet.parts import RESERVED, Hosts, Image, Origins, Part
from bridge.fleet.stanza import Stanza
from bridge.group.plan import ALL, WAIT
from bridge.settings import UsageError

OF_DATABASE = ("LITELLM_SALT_KEY", "LITELLM_DATABASE_PASSWORD")  # the fleet's own keys, where LiteLLM has a database
HOLDS_KEYS_TO_GRANTS = (1, 106, 0)  # measured: 1.77.3 does not, 1.106.2 and 1.108.7 do; what is between was not tried
MCP_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
PORT = 8000  # on which every sidecar listens inside its container


class LiteLLM(Part):
    """The proxy that is used, untouched: which version, and what its config says beside the MCPs."""

    version: str = Field("1.77.3", pattern=r"^\d+\.\d+\.\d+$", description="decides which keys its config may have")
    image: Image = Field("", description="default: ghcr.io/berriai/litellm:vVERSION-stable")
    base: dict[str, Any] = Field(default_factory=dict, description="the operator's own settings: litellm/base.yaml")
    models: list[dict[str, Any]] = Field(default_factory=list, description="more entries for base's model_list")
    database: bool = Field(False, description="a database of its own in the fleet's Postgres: keys, teams, spend (docs/litellm.md)")
    store_model_in_db: bool = Field(
        False, description="with a database: models and MCPs can be added in LiteLLM's pages, and are kept there"
    )

    @field_validator("version", "image")
    @classmethod
    def _is_not_known_bad(cls, value: str, info: ValidationInfo) -> str:
        if why := why_not(value if info.field_name == "version" else value.partition("@")[0].rpartition("/")[2].rpartition(":")[2]):
            raise ValueError(why)
        return value

    @field_validator("base")
    @classmethod
    def _says_nothing_dangerous(cls, value: dict[str, Any]) -> dict[str, Any]:
        for place, why in litellm_base.refused(value):
            raise ValueError(f"litellm/base.yaml: {'.'.join(place)}: {why}")
        return value

    @model_validator(mode="after")
    def _has_one_database(self) -> Self:
        if self.store_model_in_db and not self.database:
            raise ValueError("store_model_in_db: true needs database: true, in which they are kept")
        if self.database and (self.base.get("general_settings") or {}).get("database_url"):
            raise ValueError(
                "database: true makes a database, and litellm/base.yaml names one (general_settings.database_url): take one of them out"
            )
        return self

    @classmethod
    def _may_have_lines(cls, place: Place) -> bool:
        return place[:1] in (("base",), ("models",))  # the operator's own

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    @property
    def holds_keys_to_grants(self) -> bool:
        """Whether a virtual key may call no more than it was granted."""
        return self.release >= HOLDS_KEYS_TO_GRANTS

    @property
    def image_name(self) -> str:
        return self.image or f"ghcr.io/berriai/litellm:v{self.version}-stable"


class Group(Part):
    """MCPs at one address, as one server (docs/bridge.md)."""

    mcps: list[str] = Field(default_factory=list, description="its members; only `all` may leave them out")
    prefix: Literal["always", "when-needed"] = Field("always", description="when-needed: a name that only one member has stands alone")
    wait: float = Field(WAIT, gt=0, le=60, description="seconds that a list waits for a member")


def no_groups(fleet: "Fleet") -> str:
    """Why it has none in a cluster."""
    return f"groups of images/fleet.yaml ({', '.join(fleet.groups)}): the Kubernetes manifests have no bridge for them"


class Fleet(Part):
    """Everything that runs."""

    stanzas: list[Stanza]
    litellm: LiteLLM = Field(default_factory=LiteLLM)
    name: str = Field(
        "mcp",
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        description="how the Compose project's name begins (each checkout has its own, in compose/.env), and the Kubernetes namespace",
    )
    port: int = Field(8000, ge=1, le=65535, description="where /NAME/mcp of every MCP is published on this machine")
    origins: Origins = Field(
        default_factory=list, description="web pages that may call the MCPs and LiteLLM from a browser: https://chat.example"
    )
    hosts: Hosts = Field(
        default_factory=list,
        description="names of this machine that LiteLLM and Prometheus are reached by, beside localhost and addresses: nas.local",
    )
    callers: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="who else there is and what each may do, as in a file of `serve --callers` (docs/callers.md)"
    )
    registry: bool | None = Field(
        None,
        description="whether the door serves the fleet as a registry that clients read, to everybody without a key (default: unless there are `callers`)",
    )
    audit: bool = Field(False, description="write down each call, of every MCP: `mcp-bridge audit` reads it (docs/callers.md)")
    groups: dict[str, list[str] | Group] = Field(
        default_factory=dict,
        description="MCPs that are one server at /GROUP/mcp as well: {dev: [time, git]}; all of them at /all/mcp: {all: {}}",
    )
    prometheus_image: Image = "prom/prometheus:v2.53.3"
    alertmanager_image: Image = "prom/alertmanager:v0.27.0"
    grafana_image: Image = "grafana/grafana:11.6.1"
    postgres_image: Image = "postgres:17"
    python_image: Image = "python:3.13-slim"
    node_image: Image = "node:22-slim"
    unreadable: dict[str, str] = Field(default_factory=dict, exclude=True, description="what is wrong with the stanzas that have mistakes")
    digests: dict[str, str] = Field(default_factory=dict, exclude=True, description="of base images, by name: images/digests.lock")

    @classmethod
    def _may_have_lines(cls, place: Place) -> bool:
        return place[:2] in (("litellm", "base"), ("litellm", "models"))

    @field_validator("callers")
    @classmethod
    def _are_callers(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        try:
            callers.check(value)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _have_members(self) -> Self:
        here = dict.fromkeys(self.unreadable, False) | {stanza.name: stanza.is_remote for stanza in self.stanzas}
        for name, group in self.groups.items():
            members = group if isinstance(group, list) else group.mcps
            is_taken = any(stanza.name == name for stanza in self.stanzas)
            if is_taken or name in RESERVED or not MCP_NAME.fullmatch(name):
                raise ValueError(
                    f"groups: {name}: "
                    + (
                        "there is an MCP of this name"
                        if is_taken
                        else "this name is taken by the fleet itself"
                        if name in RESERVED
                        else "it stands in a path: a-z, 0-9, - and _"
                    )
                )
            if not members and name != ALL:
                raise ValueError(f"groups: {name}: it has no members")
            for member in members:
                if here.get(member, True):
                    raise ValueError(
                        f"groups: {name}: {member!r} is "
                        + ("elsewhere, and not behind a bridge" if member in here else "no MCP here")
                        + ": take it out of the group"
                    )
        return self

    @field_validator("stanzas")
    @classmethod
    def _ordered(cls, stanzas: list[Stanza]) -> list[Stanza]:
        return sorted(stanzas, key=lambda stanza: stanza.name)

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        for names, what in (
            (Counter(s.name for s in self.stanzas), "name"),
            (Counter(s.litellm_name for s in self.stanzas if s.litellm.enabled), "LiteLLM name (alias)"),
        ):
            twice = [name for name, times in names.items() if times > 1]
            if twice:
                raise ValueError(f"two stanzas have the {what} {twice[0]!r}")
        if name := secret_of_two_kinds(self.stanzas):
            raise ValueError(
                f"the secret {name!r} is per: caller in one stanza and not in another: give one of them another name with 'from'"
            )
        if alike := secrets_of_two_cases(self.stanzas):
            raise ValueError(
                f"the secrets {alike[0]!r} and {alike[1]!r} differ in their case only: give one of them another name with 'from'"
            )
        return self

    def pinned(self, image: str) -> str:
        """A base image as generated files name it: with its digest, where the lock has one."""
        return f"{image}@{self.digests[image]}" if image in self.digests else image

    def __getitem__(self, name: str) -> Stanza:
        """The stanza of that name. Raises KeyError with the names there are."""
        for stanza in self.stanzas:
            if stanza.name == name:
                return stanza
        raise KeyError(f"no MCP {name!r}; there are {', '.join(s.name for s in self.stanzas)}")

    @property
    def lost(self) -> list[str]:
        """The MCPs whose stanza has a mistake, and never was without one."""
        return [name for name in self.unreadable if all(stanza.name != name for stanza in self.stanzas)]

    @property
    def sidecars(self) -> list[Stanza]:
        """The MCPs that run here."""
        return [stanza for stanza in self.stanzas if not stanza.is_remote]

    @property
    def listed(self) -> list[Stanza]:
        """The MCPs that reach some names only, by the egress proxy."""
        return [stanza for stanza in self.sidecars if stanza.reaches]

    @property
    def caller_secrets(self) -> set[str]:
        """The names, as compose/secrets/ has them, of what each caller has its own of."""
        return {stanza.stored(name) for stanza in self.stanzas for name in stanza.caller_secrets}

    @property
    def may_be_missing(self) -> set[str]:
        """The names of secrets without which at least one MCP starts."""
        return {stanza.stored(name) for stanza in self.stanzas for name, one in stanza.secrets.items() if one.optional or one.is_per_caller}

    @property
    def litellm_may(self) -> dict[str, Any]:
        """What who comes through LiteLLM without a key of their own may do, where images/fleet.yaml does not say it. With virtual keys,
        which each stand for a caller, no more than LiteLLM holds each of them to: calls of tools, or not even these. (It grants no prompts
        and no resources: of an MCP that a key was granted it would fetch all.)"""
        if not self.litellm.database or not set(self.callers) - {callers.LITELLM}:
            return {"default": "execute"}
        return {"may": {"*/tool:*": "execute" if self.litellm.holds_keys_to_grants else "read"}}

    @property
    def group_names(self) -> list[str]:
        """The addresses of groups. Where there is any, all MCPs are one as well."""
        return list(dict.fromkeys([ALL, *self.groups])) if self.groups else []

    def members_of(self, name: str) -> list[str]:
        group = self.groups.get(name, [])
        return (group if isinstance(group, list) else group.mcps) or [stanza.name for stanza in self.sidecars]

    def groups_of(self, here: Collection[str]) -> dict[str, dict[str, Any]]:
        """The groups as a bridge is told of them: without members that are not here."""
        groups: dict[str, dict[str, Any]] = {}
        for name, group in self.groups.items():
            whole = Group(mcps=group) if isinstance(group, list) else group
            if members := [member for member in whole.mcps or here if member in here]:
                groups[name] = {**whole.model_dump(), "mcps": members}
        return groups

    def only(self, names: Container[str]) -> Self:
        """The same fleet with these MCPs only."""
        return self.model_copy(update={"stanzas": [stanza for stanza in self.stanzas if stanza.name in names]})


def secret_of_two_kinds(stanzas: list[Stanza]) -> str:
    """A secret that each caller has its own of in one of these stanzas, and all have the same in another; empty if there is none."""
    of_callers = {stanza.stored(name) for stanza in stanzas for name in stanza.caller_secrets}
    of_all = {stanza.stored(name) for stanza in stanzas for name in stanza.secrets if not stanza.secrets[name].is_per_caller}
    return min(of_callers & of_all, default="")


def secrets_of_two_cases(stanzas: list[Stanza]) -> list[str]:
    """Two names of secrets that are one where a container sees them, or where a disk knows no cases; empty if there are none."""
    names = sorted({stanza.stored(name) for stanza in stanzas for name in stanza.secrets}, key=lambda name: (name.lower(), name))
    return next(([one, other] for one, other in pairwise(names) if one.lower() == other.lower()), [])


def release(version: str) -> tuple[int, ...]:
    """`1.77.3` or `v1.77.3-stable` as (1, 77, 3)."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    if not found:
        raise ValueError(f"{version!r} is not a version: write 1.77.3")
    return tuple(map(int, found.groups()))
