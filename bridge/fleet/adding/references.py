"""What a client would have filled in, as a stanza says it: `${NAME}` of compose/.env. Pure."""

import re
from collections.abc import Mapping
from pathlib import Path

from bridge.clients.variables import ENV, FILE, HOME, INPUT, PLACE, Input, Unresolved, Variable, as_name, fill

WORKSPACE_VARIABLE = "WORKSPACE_FOLDER"


class References:
    """Turns texts of one file into texts of stanzas, and remembers which variables came from where."""

    def __init__(self, inputs: Mapping[str, Input], workspace: Path | None):
        self._inputs = inputs
        self._workspace = workspace
        self.passwords: set[str] = set()  # references to what is asked for without showing it

    def text(self, text: str) -> str:
        """With references for what is filled in elsewhere. Raises Unresolved."""
        return fill(text, self._reference)

    def is_password(self, variable: Variable) -> bool:
        return variable.kind == INPUT and self._inputs.get(variable.name, Input()).is_password

    def default(self, variable: Variable) -> str:
        """What it is if nobody says anything; empty if that is not known."""
        return (self._inputs.get(variable.name, Input()).default if variable.kind == INPUT else variable.default) or ""

    def _reference(self, variable: Variable) -> str:
        if variable.kind == PLACE and variable.name == HOME:
            return str(Path.home())
        if variable.kind == PLACE and variable.name == "pathSeparator":
            return "/"
        if variable.kind == PLACE or (variable.kind == ENV and variable.name == "PWD"):
            if self._workspace is None:
                return f"${{{WORKSPACE_VARIABLE}}}"
            return self._workspace.name if variable.name == "workspaceFolderBasename" else str(self._workspace)
        name = as_name(Path(variable.name).stem if variable.kind == FILE else variable.name) if variable.kind != ENV else variable.name
        if self.is_password(variable):
            self.passwords.add(name)
        default = self.default(variable)
        if re.search(r"[}$\n]", default):
            raise Unresolved(f"{variable.spelled} has a default with another variable in it: write ${{{name}}} or ${{{name}:-default}}")
        return f"${{{name}:-{default}}}" if default else f"${{{name}}}"
