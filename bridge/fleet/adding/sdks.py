"""What the SDKs of clouds look for by themselves: the variables of their own documentation, whoever uses them. Pure.

In a container there is no profile, no login of a person, and no machine that tells who it is: what an SDK finds there on a desk must be given.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bridge.fleet.adding.draft import Draft, holds_secret


@dataclass(frozen=True)
class Sdk:
    says: re.Pattern[str]  # that it found no account
    keys: tuple[str, ...]
    optional: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # of the keys: those whose variable is the path of a file
    settings: Mapping[str, str] = field(default_factory=dict)
    on_a_desk: tuple[str, ...] = ()  # names of what is only there, for which the keys stand
    asks: str = ""  # the host that tells a machine of that cloud who it is, which is asked where no account is given


SDKS = (
    # docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html; Python's botocore reads AWS_DEFAULT_REGION, the others AWS_REGION.
    Sdk(
        re.compile(
            r"Unable to locate credentials|Could not load credentials from any providers|NoCredentials|You must specify a region|Region is missing"
            r"|The config profile \(.{1,80}\) could not be found"
        ),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SESSION_TOKEN",),
        settings={"AWS_REGION": "${AWS_REGION:-us-east-1}", "AWS_DEFAULT_REGION": "${AWS_REGION:-us-east-1}"},
        on_a_desk=("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    ),
    # cloud.google.com/docs/authentication/application-default-credentials
    Sdk(
        re.compile(
            r"[Dd]efault credentials were not found|Could not load the default credentials|Could not automatically determine credentials"
        ),
        ("GOOGLE_APPLICATION_CREDENTIALS",),
        files=("GOOGLE_APPLICATION_CREDENTIALS",),
        asks="metadata.google.internal",
    ),
    # learn.microsoft.com: EnvironmentCredential, a service principal with a secret
    Sdk(
        re.compile(r"(?:DefaultAzure|Environment|ChainedToken)Credential\b.{0,80}(?:failed|unavailable|not fully configured)", re.DOTALL),
        ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
    ),
    # kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig
    Sdk(
        re.compile(
            r"Invalid kube-config file|no contexts are defined in kubeconfig|[Nn]o configuration has been provided, try setting KUBERNETES_MASTER|\.kube/config: no such file|connection to the server localhost:8080 was refused"
        ),
        ("KUBECONFIG",),
        files=("KUBECONFIG",),
    ),
)


# botocore: an argument of the code names a profile, which must be in a file then, and variables with keys are not looked at.
# docs.aws.amazon.com/sdkref/latest/guide/file-location.html
NO_PROFILE = re.compile(r"The config profile \((.{1,80})\) could not be found")
PROFILES = "AWS_SHARED_CREDENTIALS_FILE"


def with_profile(draft: Draft, said: str) -> Draft:
    """With a file of profiles in the place of keys with which it still looked for one."""
    keys, found = set(SDKS[0].keys), NO_PROFILE.search(said)
    by_default = {"AWS_PROFILE": "default"}
    if found and PROFILES in draft.secrets:  # it has one, and was told another name
        return replace(draft, env=draft.env | by_default)
    if not found or not keys <= {*draft.secrets} - {*draft.optional}:
        return draft
    keys |= set(SDKS[0].optional)
    about = f"its code takes a profile of AWS, and no keys: {PROFILES} is a file as ~/.aws/credentials is, with [default]"
    return replace(
        draft,
        secrets=(*(name for name in draft.secrets if name not in keys), PROFILES),
        optional=tuple(name for name in draft.optional if name not in keys),
        as_files=(*draft.as_files, PROFILES),
        env=draft.env | ({} if found[1] == "default" else by_default),
        why=draft.why | {"profile": about},
    )


def with_sdks(draft: Draft, shown: Collection[str] = ()) -> Draft:
    """With what belongs to the keys of an SDK that it has, or whose variables its publisher shows; the profile of somebody's desk gives way to them."""
    for sdk in SDKS:
        draft = _with(sdk, draft, shown)
    return draft


def _with(sdk: Sdk, draft: Draft, shown: Collection[str]) -> Draft:
    named = {*draft.env, *draft.secrets}
    own = {*sdk.keys, *sdk.on_a_desk, *sdk.settings}
    if "profile" in draft.why and PROFILES in sdk.on_a_desk:
        secrets, optional = (
            tuple(one for one in known if one not in {*sdk.keys, *sdk.optional}) for known in (draft.secrets, draft.optional)
        )
        return replace(draft, secrets=secrets, optional=optional)
    is_all = not any(map(holds_secret, named - own - set(draft.optional)))  # no other way in is shown
    telling = own if is_all else own - sdk.settings.keys()  # beside another way in, a region says nothing of an account
    if telling.isdisjoint({*named, *shown}):
        return draft
    is_needed = any(name in named - set(draft.optional) for name in (*sdk.keys, *sdk.on_a_desk)) or (
        is_all and any(name in shown for name in sdk.on_a_desk)
    )
    env = {name: value for name, value in draft.env.items() if name not in {*sdk.on_a_desk, *sdk.keys}}
    new = tuple(name for name in (*sdk.keys, *sdk.optional) if name not in draft.secrets)
    optional = tuple(name for name in new if name in sdk.optional or not is_needed)
    kept = tuple(name for name in draft.secrets if name not in {*sdk.on_a_desk, *sdk.settings})
    files = tuple(name for name in sdk.files if name not in draft.as_files)
    return replace(
        draft,
        env=env | {name: value for name, value in sdk.settings.items() if not env.get(name) or env[name] == f"${{{name}}}"},
        secrets=(*kept, *new),
        optional=(*(name for name in draft.optional if name in kept and not (is_needed and name in sdk.keys)), *optional),
        as_files=(*draft.as_files, *files),
    )
