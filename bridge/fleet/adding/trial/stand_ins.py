"""What stands in for values and files that nobody gave yet, in the shape that is read under their name, or that their server says it wants."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.fleet.adding.sdks import PROFILES
from bridge.fleet.adding.trial.findings import PLACEHOLDER

A_PROFILE = "[default]\naws_access_key_id = placeholder\naws_secret_access_key = placeholder\n"
OF_GOOGLE = re.compile("SERVICE_?ACCOUNT|CREDENTIALS?|OAUTH|CLIENT_?SECRETS?|FIREBASE|GOOGLE|GCP")  # in the name of a file
OF_A_KEY = re.compile("PRIVATE_KEY|PEM|SSH_KEY|(?<!API_)KEY_(PATH|FILE)$")

A_DATABASE = re.compile(r"DSN$|(DATABASE|DB|CONN|CONNECTION)_?(STR|STRING|UR[IL])$")  # in the name of its address
OF_A_CONNECTION = re.compile(r"CONN(ECTION)?_?STR(ING)?$")
JSON = "{}"
A_FILE = "sqlite:////tmp/placeholder.db"  # of Python's own; one in memory takes fewer arguments
# What a server says of a value that has another shape than it takes (in the words of Python, pydantic, Node and zod), and one that has it.
COMPLAINTS = [
    (re.compile(says, re.IGNORECASE), fit)
    for says, fit in (
        ("invalid literal for int|string to float|valid (integer|number)|expected number|must be an? (integer|number)", "1"),
        ("(badly formed hexadecimal|valid) (UUID|GUID)", "00000000-0000-4000-8000-000000000000"),
        ("valid e-?mail", "somebody@example.com"),
        ("non-hexadecimal|valid (hex|private key)", "0x" + "1" * 64),
        ("incorrect padding|valid base64", "cGxhY2Vob2xkZXI="),
        ("JSONDecodeError|(valid|not) JSON", JSON),
        ("valid boolean|must be true or false", "true"),
        (r"\bsqlalchemy\.dialects\b|SQLAlchemy URL", A_FILE),
    )
]
BEGINS = re.compile(
    r"\b(?:must|should|does not) (?:start|begin) with ['\"`]?(https?://|[A-Za-z]\w{1,10}[-_])(?![A-Za-z0-9]{12})|\b[Ee]xpected ([a-z]{2,6}_)\*"
)
NEAR = 3  # lines


def value(name: str, schemes: Mapping[str, str] = {}) -> str:
    """Something to start with, where nobody gave a value. A host is called like its variable: who is looked up tells which was used."""
    beginning = schemes.get(name) or (schemes.get("", "") if A_DATABASE.search(name) else "")
    if beginning:
        return f"{beginning}{host(name)}/0"  # of redis a number; others take any name
    if re.search(r"MAIL(_ADDRESS)?$", name):
        return "somebody@example.com"
    its_host = host(name)
    if OF_A_CONNECTION.search(name):
        return its_host
    if re.search(r"UR[IL]|HOST|ENDPOINT|SERVER|ADDRESS|DSN", name):
        return f"http://{its_host}" if not name.endswith(("HOST", "HOSTNAME", "HOSTS", "SERVERS")) else its_host
    return (
        "8080"
        if name.endswith("PORT")
        else "/tmp"
        if re.search("PATH|DIR|FOLDER", name)
        else f"placeholder-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    )


def host(name: str) -> str:
    return f"{name.lower().replace('_', '-')}.{PLACEHOLDER}"


def shapes(words: Sequence[str], names: Iterable[str]) -> dict[str, str]:
    """Values for the variables of which a server says that they have another shape than it takes, by their names or by what stood in for them."""
    found: dict[str, str] = {}
    names = list(names)
    for at, line in enumerate(words):
        begins = BEGINS.search(line)
        fit = next((fit for says, fit in COMPLAINTS if says.search(line)), "")
        if not (fit or begins):
            continue
        near = " ".join(words[max(0, at - NEAR) : at + NEAR])
        about = [name for name in names if name in line or value(name) in line] or [name for name in names if name in near]
        about = about or (names if len(names) == 1 else [name for name in names if fit == A_FILE and A_DATABASE.search(name)])
        for name in about:
            shaped = _of_google() if fit == JSON and OF_GOOGLE.search(name) else fit
            beginning = (begins[1] or begins[2]) if begins else ""
            found.setdefault(name, shaped or beginning + value(name).removeprefix("http://" if "://" in beginning else ""))
    return found


def file(name: str) -> str:
    if name == PROFILES:
        return A_PROFILE
    if name.endswith("KUBECONFIG"):
        return _of_kubernetes()
    if OF_GOOGLE.search(name):
        return _of_google()
    return _key() if OF_A_KEY.search(name) else "{}"


@cache
def _key() -> str:
    """A private key in PEM, of this moment: libraries parse it at their start."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _of_kubernetes() -> str:
    """One cluster, whose address is nobody's (kubernetes.io/docs/reference/config-api/kubeconfig.v1)."""
    every = {
        "clusters": [{"name": "placeholder", "cluster": {"server": f"https://kubeconfig.{PLACEHOLDER}"}}],
        "users": [{"name": "placeholder", "user": {"token": "placeholder"}}],
        "contexts": [{"name": "placeholder", "context": {"cluster": "placeholder", "user": "placeholder"}}],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "placeholder"} | every)


def _of_google() -> str:
    """An account of a service and a client of OAuth, each as Google's console writes it."""
    places = {"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token"}
    client = {"client_id": "placeholder.apps.googleusercontent.com", "client_secret": "placeholder", "redirect_uris": ["http://localhost"]}
    account = {"project_id": "placeholder", "private_key_id": "placeholder", "private_key": _key(), "client_id": "0"}
    email = {"client_email": "placeholder@placeholder.iam.gserviceaccount.com", "universe_domain": "googleapis.com"}
    return json.dumps({"type": "service_account"} | account | email | places | {"installed": client | places})
