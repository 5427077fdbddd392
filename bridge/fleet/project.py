"""Where things are: one folder with images/, compose/ and litellm/ below it."""

import os
from dataclasses import dataclass
from pathlib import Path

from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

OWN_VALUE = ".own"  # in compose/secrets/NAME/, beside the values of callers


@dataclass(frozen=True)
class Project:
    """The paths of a project. Nothing is made by asking for one, but for `private`."""

    root: Path

    @classmethod
    def find(cls, given: str = "") -> "Project":
        """The folder that was named, else the nearest one at or above this one that has images/. Raises UsageError."""
        if given:
            root = Path(given).resolve()
            if not (root / "images").is_dir():
                raise UsageError(f"--project {given}: there is no folder 'images' in it")
            return cls(root)
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / "images").is_dir():
                return cls(folder)
        raise UsageError(f"no folder 'images' in {here} or above: go to the project, or name it with --project DIR")

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def compose(self) -> Path:
        return self.root / "compose"

    @property
    def litellm(self) -> Path:
        return self.root / "litellm"

    @property
    def env_file(self) -> Path:
        return self.compose / ".env"

    @property
    def secrets(self) -> Path:
        return self.compose / "secrets"

    def secret(self, stanza: Stanza, name: str) -> Path:
        """The file with the value that the MCP itself has. Where each caller has its own, it stands beside those, by a name that is no caller's."""
        file = self.secrets / stanza.stored(name)
        return file / OWN_VALUE if stanza.secrets[name].is_per_caller else file

    @property
    def state(self) -> Path:
        """What is true of this machine only: never committed."""
        return self.compose / "state"

    @property
    def last_good(self) -> Path:
        """The stanzas as they were when they were started, for when one has a mistake."""
        return self.state / "stanzas"

    def folder(self, stanza: Stanza) -> Path:
        return self.images / stanza.name


def private(folder: Path) -> Path:
    """The folder, made if missing, such that only its owner may look into it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_private(path: Path, text: str, mode: int = 0o600) -> bool:
    """Write it whole or not at all, readable as `mode` says from its first byte. Returns whether anything changed."""
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") == text and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        beside.chmod(mode)
        beside.replace(path)
    except OSError as error:  # a full disk: what was there stays whole
        beside.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
    return True
