"""Variables whose value is the path of a file with keys in it: in a container they want the file, and not the path. Pure, but for `content`."""

import re
from pathlib import Path

from bridge.fleet.adding.draft import is_blank
from bridge.fleet.adding.sdks import SDKS
from bridge.fleet.adding.secrecy import REFERENCE, secret_name

LARGEST = 1 << 20  # bytes
# By its name alone. A TOKEN_PATH is none where nobody gives a file: servers write theirs themselves.
A_KEYS_FILE = re.compile(
    r"(CREDENTIALS?|SERVICE_ACCOUNT|(PRIVATE|SSH)_KEY|KEY_?FILE|CLIENT_SECRETS?)_?(JSON_?)?(PATH|FILE|FILE_PATH)$|(^|_)KEY_?(FILE|PATH|FILE_PATH)$"
)

_A_PATH = re.compile(r"(?:~|\$\{?HOME\}?|%\w+%|\.{0,2})[/\\][^\n]*|[A-Za-z]:[\\/][^\n]*")
_ALSO = re.compile(r"(API_KEY|SECRETS?|TOKEN|KUBECONFIG|(CLIENT|CA|TLS|SSL)_CERT)_?(JSON_?)?(PATH|FILE|FILE_PATH)$|(^|_)KUBECONFIG$")
_OF_KEYS = re.compile(
    r"\.(pem|key|p8|crt|cer)$|(^|[/\\])(id_(rsa|dsa|ecdsa|ed25519)|\.kube[/\\]config|\.netrc|\.pgpass|kubeconfig[^/\\]*|\.?credentials?)$"
    r"|(token|secret|service[-_]?account|credential|oauth|[-_.]key|gcp)[^/\\]*\.json$",
    re.IGNORECASE,
)
_A_FILES_NAME = re.compile(r"[^/\\]+\.[A-Za-z][A-Za-z0-9]{1,7}$")
_ONLY_SHOWN = re.compile(r"path[-_/\\]to[-_/\\]|[/\\]your\b|\byour[-_]", re.IGNORECASE)
_SDKS_OWN = frozenset(name for sdk in SDKS for name in sdk.files)


def is_path_of_keys(name: str, value: str) -> bool:
    """Is this variable the path of a file with keys in it? A value that is not known yet tells nothing; then its name must say so."""
    says_so = name in _SDKS_OWN or any(one.search(name.upper()) for one in (A_KEYS_FILE, _ALSO))
    if is_blank(value) or REFERENCE.fullmatch(value):
        return says_so
    if not _A_PATH.fullmatch(value):
        return says_so and bool(_A_FILES_NAME.fullmatch(value))
    return says_so or bool(_OF_KEYS.search(value)) or (secret_name(name) and bool(_A_FILES_NAME.search(value)))


def is_written_by_the_server(name: str, path: str, text: str) -> bool:
    """Does a server write this file anew, when the token in it has run out? One with a refresh token is told by that; one that is not here by its names."""
    return '"refresh_token"' in text or (not text and "TOKEN" in name.upper() and path.lower().endswith(".json"))


def content(name: str, path: str) -> tuple[str, str]:
    """What is in the file that `name` names, and what must be told of it: a line, or nothing."""
    if is_blank(path) or REFERENCE.fullmatch(path) or _ONLY_SHOWN.search(path):
        return "", ""
    try:
        file = Path(path).expanduser()
        if file.stat().st_size <= LARGEST and (text := file.read_text(encoding="utf-8")).strip():
            return text, ""
    except (OSError, ValueError, RuntimeError):
        pass
    return "", f"{name} was the path of a file, {path}, that cannot be read here"
