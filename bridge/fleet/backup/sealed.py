"""Secrets in a backup: encrypted by age or gpg, whichever is asked for or there, and never without.

Ours is only which words these programs are called with. Values stand in no command line.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.settings import UsageError

AGE, GPG = "age", "gpg"
OF_AGE = ("age1", "ssh-")
INSTALL = "install age (https://age-encryption.org) or GnuPG"


@dataclass(frozen=True)
class Keys:
    """What the operator says about them: whom it is for, or a file with a passphrase, or one with an identity of age."""

    recipient: str = ""
    passphrase_file: str = ""
    identity: str = ""


def program(keys: Keys) -> str:
    """Which of the two encrypts. Raises UsageError where it is not there, or nobody could type a passphrase."""
    if keys.recipient and keys.passphrase_file:
        raise UsageError("--recipient or --passphrase-file, not both")
    wanted = AGE if keys.recipient.startswith(OF_AGE) else GPG if keys.recipient or keys.passphrase_file else ""
    found = next((one for one in ([wanted] if wanted else [AGE, GPG]) if shutil.which(one)), "")
    if not found:
        raise UsageError(
            f"--with-secrets: {f'{wanted} is not' if wanted else 'neither age nor gpg is'} on this machine: {INSTALL}, or leave --with-secrets out"
        )
    if not wanted and not sys.stdin.isatty():
        raise UsageError("--with-secrets: nobody can type a passphrase here: say --recipient or --passphrase-file")
    return found


def seal(source: Path, to: Path, by: str, keys: Keys) -> None:
    """Raises UsageError where the program does not."""
    if by == AGE:
        _run(
            [AGE, "--encrypt", *(["--recipient", keys.recipient] if keys.recipient else ["--passphrase"]), "--output", str(to), str(source)]
        )
    elif keys.recipient:
        _run([GPG, *_QUIET, "--batch", "--encrypt", "--recipient", keys.recipient, "--output", str(to), str(source)])
    else:
        _run(
            [
                GPG,
                *_QUIET,
                *_passphrase(keys),
                "--symmetric",
                "--cipher-algo",
                "AES256",
                "--no-symkey-cache",
                "--output",
                str(to),
                str(source),
            ]
        )


def open_(source: Path, to: Path, by: str, keys: Keys) -> None:
    """Raises UsageError."""
    if by not in (AGE, GPG):
        raise UsageError(f"its secrets are encrypted by {by!r}, which is neither age nor gpg")
    if not shutil.which(by):
        raise UsageError(
            f"its secrets are encrypted by {by}, which is not on this machine: install it, or leave them with --without-secrets"
        )
    to.touch(0o600)
    if by == AGE:
        _run([AGE, "--decrypt", *(["--identity", keys.identity] if keys.identity else []), "--output", str(to), str(source)])
    else:
        _run([GPG, *_QUIET, *_passphrase(keys), "--decrypt", "--output", str(to), str(source)])


_QUIET = ("--quiet", "--yes", "--no-tty") if not sys.stdin or not sys.stdin.isatty() else ("--quiet", "--yes")


def _passphrase(keys: Keys) -> list[str]:
    if not keys.passphrase_file:
        return []
    return ["--batch", "--pinentry-mode", "loopback", "--passphrase-file", keys.passphrase_file]


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, errors="replace", umask=0o077, env=dict(os.environ)
        )
    except OSError as error:
        raise UsageError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise UsageError(f"the secrets: {lines[-1] if lines else f'{command[0]} ended with code {done.returncode}'}")
