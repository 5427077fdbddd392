"""Certificates for tests: an authority of their own, and what it signs."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """``authority.issue(folder)`` writes cert.pem and key.pem for 127.0.0.1 and localhost; ``authority.file`` is what clients trust."""

    def __init__(self, folder: Path):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = named("Authority of tests")
        own = builder(self.name, self.name, self.key.public_key(), 0, 30).add_extension(x509.BasicConstraints(True, None), True)
        own = own.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
        self.certificate = own.sign(self.key, hashes.SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, folder: Path, *, since: float = 0, until: float = 30, names: tuple[str, ...] = ("localhost",)) -> tuple[Path, Path]:
        """A new pair in the folder's cert.pem and key.pem; the days are counted from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, names)]
        certificate = builder(named("bridge"), self.name, key.public_key(), since, until)
        certificate = certificate.add_extension(x509.SubjectAlternativeName(hosts), False)
        certificate = certificate.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / "cert.pem", folder / "key.pem"
        paths[0].write_bytes(certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(private(key))
        return paths


def builder(subject, issuer, key, since: float, until: float) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    serial = x509.random_serial_number()
    return x509.CertificateBuilder(issuer, subject, key, serial, now + since * DAY - DAY / 24, now + until * DAY)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def private(key, password: bytes | None = None) -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def any_certificate() -> ssl.SSLContext:
    """For clients that look at no certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def serial_of(host: str, port: int) -> int:
    """Of the certificate that new connections get."""
    pem = ssl.get_server_certificate((host, port), timeout=5)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number
