"""`--callers FILE`, YAML or JSON, read whole and checked: what is wrong is told with file, line and field, and shows no secret.

callers:
  alice:
    token_sha256: 9f86d0…              # one or a list: what `mcp-bridge token` writes behind "sha256:"
    may: {filesystem/read_file: execute, "database/*": execute, "*/delete_*": deny}
  prometheus: {token_file: secrets/prometheus, metrics: true}
default: deny                          # everybody without a key; a level, or may, default and limits as above
"""

import json
import re
from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bridge.callers.caller import JWT, Caller, Callers, Limits
from bridge.callers.passwords import BadHash, Password
from bridge.callers.rules import LEVELS, BadRule, Level, Rule
from bridge.callers.tokens import Tokens, digest_of
from bridge.clients import document as documents
from bridge.clients.document import Document
from bridge.settings import UsageError

RIGHTS = ("may", "default", "limits")
CALLER = ("name", "token_sha256", "token_file", "basic", "jwt", *RIGHTS, "metrics")
FILE = ("callers", "default")
TOKEN = re.compile(r"[!-~]{8,}")
NAME = re.compile(r"[!-~]{1,100}")
_HASH = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
Keys = tuple[str | int, ...]


def read(path: str, tokens: Tokens | None = None) -> Callers:
    """The callers of the file beside those of a --token-file. Raises UsageError."""
    return of(documents.read(path), tokens)


def of(document: Document, tokens: Tokens | None = None) -> Callers:
    """Those of a file that was read. Raises UsageError."""
    return _Reader(document, tokens).callers()


class _Reader:
    """One file. `keys` is everywhere the way to a value, by which errors say where it stands."""

    def __init__(self, document: Document, tokens: Tokens | None):
        self.document = document
        self.tokens = tokens
        self.folder = Path(document.path).expanduser().parent

    def callers(self) -> Callers:
        self._refuse_twins()
        whole = self._mapping(self.document.data, (), FILE)
        found: list[Caller] = []
        for name, entry, keys in self._entries(whole.get("callers")):
            found.append(self._caller(name, self._mapping(entry, keys, CALLER), keys))
        default = whole.get("default", "deny")
        if isinstance(default, dict):
            self._mapping(default, ("default",), RIGHTS)
            everybody = Caller(
                "", self._rules(default, ("default",)), self._default(default, ("default",)), self._limits(default, ("default",))
            )
        else:
            everybody = Caller("", default=self._level(default, ("default",)))
        if not found and not everybody.may_anything:
            raise self._wrong("nobody may come in: no callers, and the default is deny", ("callers",))
        self._refuse_shared(found)
        return Callers(tuple(found), everybody, frozenset(self.tokens.names) if self.tokens else frozenset())

    def _entries(self, entries: Any) -> Iterable[tuple[str, Any, Keys]]:
        """Callers by name, or a list of callers with a name each."""
        if isinstance(entries, list):
            named = [(entry.get("name") if isinstance(entry, dict) else None, entry, ("callers", n)) for n, entry in enumerate(entries)]
        elif isinstance(entries, dict):
            named = [(name, entry, ("callers", name)) for name, entry in entries.items()]
        elif entries is None:
            named = []
        else:
            raise self._wrong("expected a mapping of callers by name", ("callers",))
        seen: set[str] = set()
        for name, entry, keys in named:
            if not isinstance(name, str) or not NAME.fullmatch(name):
                hint = " (YAML wants quotes around a number)" if isinstance(name, int) else ""
                raise self._wrong(f"a caller needs a name: letters, digits and signs, without spaces{hint}", (*keys, "name"))
            if name.startswith(JWT):
                raise self._wrong(f"{JWT} begins the names of those whom only their JWT names", keys)
            if name in seen:
                raise self._wrong(f"there is another caller {name!r}", keys)
            seen.add(name)
            yield name, entry, keys

    def _caller(self, name: str, entry: dict[str, Any], keys: Keys) -> Caller:
        if entry.get("name", name) != name:
            raise self._wrong(f"the caller is called {name!r} already", (*keys, "name"))
        digests = {self._digest(one, where) for one, where in _each(entry.get("token_sha256"), (*keys, "token_sha256"))}
        for one, where in _each(entry.get("token_file"), (*keys, "token_file")):
            if not isinstance(one, str):
                raise self._wrong("expected the path of a file", where)
            try:
                digests |= Tokens.read(str(self.folder / Path(one).expanduser())).digests
            except UsageError as error:
                raise self._wrong(str(error), where) from None
        passwords = dict(self._password(one, where) for one, where in _each(entry.get("basic"), (*keys, "basic")))
        claims = entry.get("jwt", {})
        if not isinstance(claims, dict) or ("jwt" in entry and not claims):
            raise self._wrong("expected claims and what they must be: {sub: alice}", (*keys, "jwt"))
        is_of_token_file = self.tokens is not None and name in self.tokens.names
        if not (digests or passwords or claims or is_of_token_file):
            raise self._wrong("nobody can be this caller: give token_sha256, token_file, basic or jwt", keys)
        sees_metrics = entry.get("metrics", False)
        if not isinstance(sees_metrics, bool):
            raise self._wrong("expected true or false", (*keys, "metrics"))
        rights = (self._rules(entry, keys), self._default(entry, keys), self._limits(entry, keys))
        return Caller(name, *rights, frozenset(digests), passwords, claims, sees_metrics)

    # -- what it may ------------------------------------------------------------------------------------------------------

    def _rules(self, entry: dict[str, Any], keys: Keys) -> tuple[Rule, ...]:
        may, keys = entry.get("may", {}), (*keys, "may")
        if not isinstance(may, dict):
            raise self._wrong("expected patterns and their levels: {time/*: execute}", keys)
        rules = []
        for pattern, level in may.items():
            try:
                rules.append(Rule.parse(str(pattern), self._level(level, (*keys, pattern))))
            except BadRule as error:
                raise self._wrong(str(error), (*keys, pattern)) from None
        return tuple(rules)

    def _default(self, entry: dict[str, Any], keys: Keys) -> Level:
        return self._level(entry.get("default", "deny"), (*keys, "default"))

    def _level(self, word: Any, keys: Keys) -> Level:
        if isinstance(word, str) and word in LEVELS:
            return LEVELS[word]
        raise self._wrong(f"expected one of {', '.join(LEVELS)}, not {str(word)[:40]!r}", keys)

    def _limits(self, entry: dict[str, Any], keys: Keys) -> Limits:
        keys = (*keys, "limits")
        names = tuple(item.name for item in fields(Limits))
        limits = self._mapping(entry.get("limits", {}), keys, names)
        for name, value in limits.items():
            is_whole = name not in ("requests", "burst")
            if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float) or not 0 < value < 1e9:
                raise self._wrong(f"expected a {'whole ' if is_whole else ''}number above 0, not {value!r:.40}", (*keys, name))
        if "burst" in limits and "requests" not in limits:
            raise self._wrong("a burst needs requests, which says how fast it fills again", (*keys, "burst"))
        if "requests" in limits:
            limits = {"burst": max(1.0, limits["requests"]), **limits}
            if limits["burst"] < 1:
                raise self._wrong("a burst below 1 lets nothing through", (*keys, "burst"))
        return Limits(**limits)

    # -- what it shows ----------------------------------------------------------------------------------------------------

    def _digest(self, text: Any, keys: Keys) -> bytes:
        found = _HASH.fullmatch(text) if isinstance(text, str) else None
        if found is None and isinstance(text, str) and TOKEN.fullmatch(text):
            raise self._wrong(
                "this is no hash; if it is the token itself, only its SHA-256 may stand here (mcp-bridge token NAME --of FILE tells it)",
                keys,
            )
        if found is None:
            raise self._wrong("expected the SHA-256 of a token, 64 hexadecimal digits (mcp-bridge token writes it; quote it in YAML)", keys)
        return digest_of(f"sha256:{found[1]}", self._where(keys))

    def _password(self, entry: Any, keys: Keys) -> tuple[str, Password]:
        basic = self._mapping(entry, keys, ("user", "password"))
        user, password = basic.get("user"), basic.get("password")
        if not isinstance(user, str) or not user or ":" in user:
            raise self._wrong("expected a user's name, without ':' (RFC 7617)", (*keys, "user"))
        try:
            return user, Password.parse(str(password))
        except BadHash as error:
            raise self._wrong(str(error), (*keys, "password")) from None

    def _refuse_shared(self, callers: list[Caller]) -> None:
        """Whose key is it?"""
        owners: dict[object, str] = dict(self.tokens.by_digest.items()) if self.tokens else {}
        for caller in callers:
            keys: list[object] = [*caller.digests, *caller.passwords]
            for key in keys:
                if owners.setdefault(key, caller.name) != caller.name:
                    what = f"the user {key!r}" if isinstance(key, str) else "a token"
                    raise self._wrong(f"{what} of {caller.name!r} is also {owners[key]!r}'s: whose is it?", ("callers", caller.name))

    # -- where it stands ---------------------------------------------------------------------------------------------------

    def _mapping(self, value: Any, keys: Keys, known: tuple[str, ...]) -> dict[str, Any]:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self._wrong(f"expected {', '.join(known)}", keys)
        for name in value:
            if name not in known and not (known is FILE and str(name).startswith("x-")):  # as in Compose: a place for anchors
                near = get_close_matches(str(name), known, 1)
                raise self._wrong(
                    f"unknown field; did you mean {near[0]}?" if near else f"unknown field; known are {', '.join(known)}", (*keys, name)
                )
        return value

    def _where(self, keys: Keys) -> str:
        field = ".".join(str(key) for key in keys)
        return f"{self.document.where(*keys)}: {field}" if field else self.document.where()

    def _wrong(self, why: str, keys: Keys) -> UsageError:
        return UsageError(f"{self._where(keys)}: {why}")

    def _refuse_twins(self) -> None:
        """A name that is there twice: readers take the last one, and the first may have been a deny."""
        try:
            json.loads(self.document.text, object_pairs_hook=self._refuse_twin)
        except ValueError:
            self._refuse_twins_of_yaml()

    def _refuse_twin(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        whole = dict(pairs)
        if len(whole) < len(pairs):
            names = [name for name, _ in pairs]
            twin = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"{self.document.path}: {twin!r} is there twice in one place")
        return whole

    def _refuse_twins_of_yaml(self) -> None:
        import yaml  # start-up time: for those whose file is YAML

        try:
            nodes = [yaml.compose(self.document.text.replace("\t", "  "), yaml.SafeLoader)]
        except yaml.YAMLError:
            raise UsageError(f"{self.document.path}: write it as YAML, or as JSON without comments") from None
        visited = set()  # an alias may be inside of what it stands for
        while nodes:
            node = nodes.pop()
            if node in visited:
                continue
            visited.add(node)
            if isinstance(node, yaml.MappingNode):
                seen: set[str] = set()
                for key, value in node.value:
                    if key.value in seen:
                        raise UsageError(f"{self.document.path}:{key.start_mark.line + 1}: {key.value!r} is there twice in one place")
                    seen.add(key.value)
                    nodes.append(value)
            elif isinstance(node, yaml.SequenceNode):
                nodes += node.value


def _each(value: Any, keys: Keys) -> list[tuple[Any, Keys]]:
    """One, or each of a list."""
    if value is None:
        return []
    return [(one, (*keys, number)) for number, one in enumerate(value)] if isinstance(value, list) else [(value, keys)]
