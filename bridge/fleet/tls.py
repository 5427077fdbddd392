"""TLS_CERT and TLS_KEY of compose/.env: are they good, what must a container see to follow a renewal, and which name do people use.

A renewal replaces files, or links to files in another folder (certbot: live/NAME to archive/NAME). A container sees that only
if a folder is mounted in which all of them lie, at the same path as here.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bridge.certificate import Validity, validity
from bridge.settings import UsageError

CERTIFICATE, KEY, FOLDER, HOST = "TLS_CERT", "TLS_KEY", "TLS_FOLDER", "TLS_HOST"
TAKEN = ("/usr/local", "/usr/bin", "/usr/lib", "/run/tls")  # what the container that follows them has there itself
PATIENCE = 2.0
SHALLOWEST = 2  # names: a folder like /etc is too much to show


def is_said(values: Mapping[str, str]) -> bool:
    return bool(values.get(CERTIFICATE) or values.get(KEY))


def pair(values: Mapping[str, str]) -> tuple[str, str] | None:
    """The paths of certificate and key. Raises UsageError for what cannot be."""
    certificate, key = values.get(CERTIFICATE, ""), values.get(KEY, "")
    if key and not certificate:
        raise UsageError(f"compose/.env: {KEY} is the key of a certificate: which one? ({CERTIFICATE})")
    if not certificate:
        return None
    for name, path in ((CERTIFICATE, certificate), (KEY, key)):
        if path and (not os.path.isabs(path) or os.path.normpath(path) != path):
            raise UsageError(f"compose/.env: {name}={path}: write the whole path, from / on")
    return certificate, key or certificate


def checked(values: Mapping[str, str]) -> Validity | None:
    """Raises UsageError, which names the line of compose/.env, the file and the way out."""
    found = pair(values)
    if found is None:
        return None
    try:
        return validity(*found, datetime.now(UTC))
    except UsageError as error:
        raise UsageError(f"compose/.env: {CERTIFICATE}, {KEY}: {error}") from None


def lines(values: Mapping[str, str]) -> dict[str, str | None]:
    """What `up` adds to compose/.env: the folder to be shown, and the name that people use. Raises UsageError."""
    found, valid = pair(values), checked(values)
    if found is None or valid is None:
        return {FOLDER: None, HOST: None}
    return {FOLDER: _folder(*found), HOST: next((host for host in valid.hosts if "*" not in host), None)}


def shown_at(host: str, port: int) -> int | None:
    """The serial number of the certificate that is shown there; None where nobody speaks TLS."""
    from cryptography import x509  # start-up time: only for those who use it

    try:
        return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, port), timeout=PATIENCE).encode()).serial_number
    except OSError:
        return None


def _folder(certificate: str, key: str) -> str:
    places = [place for path in (certificate, key) for place in _hops(path)]
    folder = os.path.commonpath([os.path.dirname(place) for place in places])
    real = os.path.realpath(folder)
    if any(os.path.commonpath([real, os.path.realpath(path)]) != real for path in (certificate, key)):
        raise UsageError(f"compose/.env: {CERTIFICATE}, {KEY}: links of folders lead out of {folder}: write the path that they lead to")
    if len(Path(folder).parts) <= SHALLOWEST or folder.startswith(TAKEN):
        raise UsageError(
            f"compose/.env: {CERTIFICATE} and {KEY}, and what they are links to, have only {folder} in common, which is too much to show "
            "to a container: lay them into a folder of their own, as a deploy hook of certbot or acme.sh does it"
        )
    return folder


def _hops(path: str) -> Iterator[str]:
    """The file, and what it is a link to, until there is one that is none."""
    for _ in range(8):
        yield path
        if not os.path.islink(path):
            return
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
