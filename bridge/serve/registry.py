"""MCPs added to the config file and taken out of it while the bridge runs; a restart knows them.

What is to be written is read first, as a start would: what cannot be served changes nothing. The file is replaced by one
rename, in the folder that it stands in, so nobody ever reads half of it.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bridge import config
from bridge.clients import document as documents
from bridge.clients import edit, formats
from bridge.clients.document import Document
from bridge.settings import Settings, UsageError

OFF = "adding and removing servers over HTTP is off (--admin-api: whoever has the admin's right can then run any program here)"


class ConfigRegistry:
    """`served` are the MCPs of now by name, `reload` reads the file again. `why_closed` says why nothing can be changed."""

    def __init__(self, settings: Settings, served: Mapping[str, object], reload: Callable[[], object]):
        self._settings = settings
        self._served = served
        self._reload = reload
        self.why_closed = "" if settings.admin_api else OFF

    def put(self, name: str, definition: dict[str, Any]) -> None:
        """Raises UsageError and OSError, and then nothing was changed."""
        if not config.NAME.fullmatch(name) or name in config.RESERVED:
            raise UsageError(
                f"{name!r} cannot be a server's name: letters, digits, '.', '_' and '-', and none of {', '.join(config.RESERVED)}"
            )
        before = documents.read(self._settings.config)
        was = _entry(before, name)
        after = edit.added(before, str(was.path[-1]) if was else name, definition)  # under what the file calls it
        entry = _entry(after, name)
        if entry is None:
            raise UsageError(f"{name}: no server")
        if why := entry.wrong or entry.off or ("a remote server: there is nothing to wrap" if entry.url else ""):
            raise UsageError(why.partition(": ")[2] if entry.wrong else f"{name}: {why}")
        if entry.unknown or entry.ignored:
            raise UsageError(f"{name}: unknown field {(*entry.unknown, *entry.ignored)[0]!r}")
        planned = config.plan(self._settings, after, (*self._served, name))
        command, _ = planned[name]
        if shutil.which(command.argv[0], path=command.environment.get("PATH", os.defpath)) is None:
            raise UsageError(f"{name}: command not found: {command.argv[0]!r}: is it installed, and on PATH?")
        self._replace(before, after)

    def remove(self, name: str) -> None:
        """Raises UsageError and OSError, and then nothing was changed."""
        before = after = documents.read(self._settings.config)
        while (entry := _entry(after, name)) is not None:
            after = edit.removed(after, entry.path)  # once for each project that it stands in
        config.plan(self._settings, after, [other for other in self._served if other != name])
        self._replace(before, after)

    def _replace(self, before: Document, after: Document) -> None:
        """The new text on the disk, and served; the old one, where that does not go."""
        path = Path(self._settings.config).expanduser().resolve()
        _write(path, after.text)
        try:
            self._reload()
        except UsageError:
            _write(path, before.text)
            raise


def _entry(document: Document, name: str) -> formats.Entry | None:
    """The first one that is served as `name`."""
    entries = [] if formats.is_empty(document) else formats.entries(document)
    return next((entry for entry in entries if config.as_name(entry.name) == name), None)


def _write(path: Path, text: str) -> None:
    """There at once and whole, with the rights that the file has."""
    had = path.stat()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), had.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), had.st_uid, had.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
