"""A certificate for TLS and its key, as files that somebody renews: read, checked, and read again when they change.

What is wrong with them is told by the file's name, before anything starts. Renewal replaces files (acme.sh), or what a link points
to (certbot, Kubernetes), one after the other: as long as the two do not fit, the pair of before stays in use. A connection has the
pair of its first moment, so a renewal ends none.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.settings import UsageError
from bridge.watched_file import WatchedFile

SOON = timedelta(days=14)  # before the end of a certificate: by then the usual tools have renewed it long ago
ENCRYPTED = "the key is encrypted, and nobody is there to type a password: openssl pkey -in KEY -out PLAIN"


@dataclass(frozen=True)
class Validity:
    """Of the server's own certificate, the first one in its file."""

    since: datetime
    until: datetime
    hosts: tuple[str, ...]
    serial: int

    def ends_soon(self, now: datetime) -> bool:
        return self.until - now < SOON


class Certificate:
    """The pair that new connections get. Raises UsageError where it is not good."""

    def __init__(self, certificate: str, key: str):
        self._certificate = certificate
        self._key = key or certificate
        self._watched = WatchedFile(self._certificate), WatchedFile(self._key)
        self.read()

    def read(self) -> None:
        """Raises UsageError, and then everything stays as it is."""
        self.validity = validity(self._certificate, self._key, datetime.now(UTC))
        self.context = server_context(self._certificate, self._key)

    def now(self) -> ssl.SSLContext:
        return self.context

    def has_changed(self, now: float) -> bool:
        return True in [watched.has_changed(now) for watched in self._watched]  # each of them looks, whatever the others say


def validity(certificate: str, key: str, now: datetime) -> Validity:
    """Raises UsageError for a pair that no client would accept."""
    from cryptography import x509  # start-up time: only for those who use it

    try:
        chain = x509.load_pem_x509_certificates(_read(certificate))
    except ValueError:
        raise UsageError(f"{certificate}: holds no certificate (PEM, which begins with -----BEGIN CERTIFICATE-----)") from None
    own = chain[0]
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = (*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))
    except (x509.ExtensionNotFound, ValueError):
        hosts = ()
    found = Validity(own.not_valid_before_utc, own.not_valid_after_utc, hosts, own.serial_number)
    _read(key)
    server_context(certificate, key)
    if found.until < now:
        raise UsageError(
            f"{certificate}: the certificate expired on {found.until:%Y-%m-%d %H:%M} UTC: renew it (certbot renew, acme.sh --cron)"
        )
    if found.since > now:
        raise UsageError(
            f"{certificate}: the certificate is valid from {found.since:%Y-%m-%d %H:%M} UTC on: is this machine's clock right?"
        )
    return found


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS 1.2 and newer, HTTP/1.1. Raises UsageError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_nobody_types)
    except _Encrypted:
        raise UsageError(f"{key}: {ENCRYPTED}") from None
    except ssl.SSLError as error:
        raise UsageError(_why_not(error, certificate, key)) from None
    except OSError as error:
        raise UsageError(f"{certificate}, {key}: {error.strerror or error}") from None
    return context


def _why_not(error: ssl.SSLError, certificate: str, key: str) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key}: not the key of the first certificate in {certificate}: that one must be the server's own, those of its issuers behind it"
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return f"{certificate}: too weak for TLS ({error.reason.lower().replace('_', ' ')}): make a new one, with a key of RSA 2048 or EC P-256"
    return f"{key}: holds no key (PEM, which begins with -----BEGIN PRIVATE KEY-----), or {certificate} is damaged"


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file: is this its path, and was the certificate made?") from None
    except PermissionError:
        raise UsageError(
            f"{path}: the user of this process may not read it: give it a copy, as a deploy hook of certbot or acme.sh makes it"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


class _Encrypted(Exception):
    pass


def _nobody_types() -> str:
    raise _Encrypted
