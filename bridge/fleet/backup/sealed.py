"""Secrets in a backup: encrypted by age or gpg, whichever is asked for or there, and never without.

Ours is only which words these programs are called with. Values stand in no command line. gpg's pinentry is not used where there is
a terminal: it goes on, and takes a whole processor, when that is closed. For gpg itself a new passphrase is typed once; so we ask, twice.
"""

import getpass
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
LOOPBACK = ("--pinentry-mode", "loopback")  # gpg itself asks, at the terminal
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
    if not wanted and not _is_terminal():
        raise UsageError("--with-secrets: nobody can type a passphrase here: say --recipient or --passphrase-file")
    return found


def seal(source: Path, to: Path, by: str, keys: Keys) -> None:
    """Raises UsageError where the program does not."""
    if by == AGE:
        _run(
            [AGE, "--encrypt", *(["--recipient", keys.recipient] if keys.recipient else ["--passphrase"]), "--output", str(to), str(source)]
        )
    elif keys.recipient:
        _run([GPG, *_quiet(), "--batch", "--encrypt", "--recipient", keys.recipient, "--output", str(to), str(source)])
    else:
        typed = "" if keys.passphrase_file else _new_passphrase()
        asked = _asked(keys) if keys.passphrase_file else ("--batch", *LOOPBACK, "--passphrase-fd", "0")
        cipher = ("--symmetric", "--cipher-algo", "AES256", "--no-symkey-cache")
        _run([GPG, *_quiet(), *asked, *cipher, "--output", str(to), str(source)], typed)


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
        _run([GPG, *_quiet(), *_asked(keys), "--decrypt", "--output", str(to), str(source)])


def _asked(keys: Keys) -> Sequence[str]:
    """Who says the passphrase: a file, or somebody at the terminal; without either only an agent that knows it."""
    if keys.passphrase_file:
        return ("--batch", *LOOPBACK, "--passphrase-file", keys.passphrase_file)
    return LOOPBACK if _is_terminal() else ()


def _quiet() -> Sequence[str]:
    return ("--quiet", "--yes") if _is_terminal() else ("--quiet", "--yes", "--no-tty")


def _is_terminal() -> bool:
    return bool(sys.stdin) and sys.stdin.isatty()


def _new_passphrase() -> str:
    """Raises UsageError."""
    try:
        typed = getpass.getpass("Passphrase for the secrets: ")
        again = getpass.getpass("Once more: ")
    except EOFError:
        raise UsageError("nobody typed a passphrase") from None
    if not typed or typed != again:
        raise UsageError("the passphrases are not the same" if typed else "an empty passphrase protects nothing")
    return f"{typed}\n"


def _run(command: Sequence[str], typed: str = "") -> None:
    ours = {name: value for name, value in os.environ.items() if name != "GPG_TTY" or _is_terminal()}  # of another terminal, perhaps
    try:
        done = subprocess.run(
            command,
            input=typed or None,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            errors="replace",
            umask=0o077,
            env=ours,
        )
    except OSError as error:
        raise UsageError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise UsageError(f"the secrets: {lines[-1] if lines else f'{command[0]} ended with code {done.returncode}'}")
