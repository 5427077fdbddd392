"""A document with one server more or one less, and everything else as it was written: comments, order, unknown fields. Pure.

Text is cut and pasted where the parser says that things stand, in JSON (with comments) and in YAML. What comes of it is parsed
again and compared with what was meant: a file in which that does not work out is left alone, and its author is told.
"""

import copy
import json
import re
from typing import Any

from bridge.clients.document import Document, is_json, parse
from bridge.clients.formats import place_of_servers
from bridge.clients.json_text import Container, Keys, Member, containers
from bridge.settings import UsageError

STEP = "  "


def added(document: Document, name: str, definition: dict[str, Any]) -> Document:
    """With this server, after the others, or in place of the one that the file calls so. Raises UsageError."""
    place = place_of_servers(document)
    if place is None and not document.data:
        return parse(json.dumps({"mcpServers": {name: definition}}, indent=2) + "\n", document.path)
    if place is None:
        raise UsageError(f"{document.path}: its servers are no mapping of names, and only such a file can be changed here")
    if name in _at(document.data, place):
        document = removed(document, (*place, name))
    wanted = copy.deepcopy(document.data)
    _at(wanted, place)[name] = definition
    editor = _editor(document)
    return _checked(document, editor.added(place, name, definition), wanted)


def removed(document: Document, path: Keys) -> Document:
    """Without the server at `path`. Raises UsageError."""
    wanted = copy.deepcopy(document.data)
    servers = _at(wanted, path[:-1])
    if not isinstance(servers, dict):
        raise UsageError(f"{document.where(*path)}: its servers are a list, and only a mapping of names can be changed here")
    del servers[path[-1]]
    return _checked(document, _editor(document).removed(path[:-1], str(path[-1])), wanted)


def _at(data: Any, path: Keys) -> Any:
    for key in path:
        data = data[key]
    return data


def _editor(document: Document) -> "_Json | Yaml":
    if document.path.endswith(".toml"):
        raise UsageError(f"{document.path}: a TOML file is only read; servers can be added to JSON and YAML")
    if is_json(document.text):
        return _Json(document.text)
    if "\t" in document.text:
        raise UsageError(f"{document.path}: it is indented with tabs, which YAML forbids: such a file is only read")
    return Yaml(document.text)


def _checked(before: Document, text: str, wanted: Any) -> Document:
    try:
        after = parse(text, before.path)
    except UsageError:
        after = None
    if after is None or after.data != wanted:
        raise UsageError(f"{before.path}: it is written in a way that cannot be changed without losing something: change it by hand")
    return after


# ---- JSON ------------------------------------------------------------------------------


class _Json:
    def __init__(self, text: str):
        self.text = text
        self.braces = dict(containers(text))

    def added(self, place: Keys, name: str, definition: dict[str, Any]) -> str:
        return _pasted(self.text, self.braces[place], name, definition)

    def removed(self, place: Keys, name: str) -> str:
        return _cut(self.text, self.braces[place], name)


def _pasted(text: str, braces: Container, name: str, definition: Any) -> str:
    members = list(braces.members.values())
    indent = _indent(text, braces.open)
    if members and "\n" not in text[braces.open : members[0].start]:  # all on one line
        comma = "" if members[-1].comma >= 0 else ","
        at = members[-1].comma + 1 if members[-1].comma >= 0 else members[-1].end
        return f"{text[:at]}{comma} {json.dumps(name)}: {json.dumps(definition, ensure_ascii=False)}{text[at:]}"
    inner = _indent(text, members[0].start) if members else indent + STEP
    step = inner.removeprefix(indent) or STEP
    lines = json.dumps(definition, indent=step, ensure_ascii=False).replace("\n", "\n" + inner)
    before = text[: braces.close].rstrip()  # a comment behind the last one stays there
    if members and members[-1].comma < 0:
        before = before[: members[-1].end] + "," + before[members[-1].end :]
    return f"{before}\n{inner}{json.dumps(name, ensure_ascii=False)}: {lines}\n{indent}{text[braces.close :]}"


def _cut(text: str, braces: Container, name: str) -> str:
    members, number = list(braces.members.values()), list(braces.members).index(name)
    one = members[number]
    start, end = one.start, one.end if one.comma < 0 else one.comma + 1
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].isspace() or line == start:
        rest = re.compile(r"[ \t]*\n").match(text, end)
        start, end = (line, rest.end()) if rest else (start, end)
    elif one.comma >= 0:
        end += len(text[end:]) - len(text[end:].lstrip(" "))
    if one.comma < 0 and number and (comma := members[number - 1].comma) >= 0:
        return text[:comma] + text[comma + 1 : start] + text[end:]
    return text[:start] + text[end:]


def _indent(text: str, at: int) -> str:
    """The white space before the first sign of the line."""
    found = re.compile(r"[ \t]*").match(text, text.rfind("\n", 0, at) + 1)
    return found[0] if found else ""


# ---- YAML ------------------------------------------------------------------------------


class Yaml:
    def __init__(self, text: str):
        import yaml  # start-up time: most documents are JSON

        self.text = text
        self.yaml = yaml
        self.root: Any = yaml.compose(text, yaml.SafeLoader)

    def added(self, place: Keys, name: str, definition: Any) -> str:
        text, servers = self.text, self._node(place)
        entry = self.yaml.safe_dump({name: definition}, sort_keys=False, allow_unicode=True, width=10_000)
        if servers.flow_style and servers.value:
            return _pasted(text, self._braces(servers), name, definition)
        if not servers.value:  # {}, or nothing
            line = _indent(text, servers.start_mark.index) + STEP
            start = len(text[: servers.start_mark.index].rstrip(" "))
            end = text.find("\n", servers.end_mark.index)
            tail = text[servers.end_mark.index : end if end >= 0 else len(text)].rstrip()
            return f"{text[:start]}{tail}\n{_moved(entry, line)}{text[end + 1 :] if end >= 0 else ''}"
        at = self._end(*servers.value[-1])
        newline = "" if text[:at].endswith("\n") else "\n"
        return f"{text[:at]}{newline}{_moved(entry, ' ' * servers.value[0][0].start_mark.column)}{text[at:]}"

    def removed(self, place: Keys, name: str) -> str:
        text, servers = self.text, self._node(place)
        if servers.flow_style:
            return _cut(text, self._braces(servers), name)
        start, end = self.lines(place)[name]
        if len(servers.value) > 1:
            return text[:start] + text[end:]
        colon = next(key for key, value in self._node(place[:-1]).value if value is servers).end_mark.index
        colon = text.index(":", colon) + 1
        return f"{text[:colon]} {{}}{text[colon:start]}{text[end:]}"

    def lines(self, place: Keys) -> dict[str, tuple[int, int]]:
        """Of each member of a mapping: where its lines begin, and where those of what follows it do."""
        node = self._node(place)
        pairs = node.value if isinstance(node, self.yaml.MappingNode) else ()
        return {str(key.value): (self.text.rfind("\n", 0, key.start_mark.index) + 1, self._end(key, value)) for key, value in pairs}

    def _node(self, path: Keys) -> Any:
        node = self.root
        for name in path:
            node = next(value for key, value in node.value if key.value == name)
        return node

    def _braces(self, node: Any) -> Container:
        """Of a mapping in braces."""
        text, members = self.text, {}
        for key, value in node.value:
            comma = re.compile(r"\s*,").match(text, value.end_mark.index)
            members[key.value] = Member(key.start_mark.index, value.end_mark.index, comma.end() - 1 if comma else -1)
        return Container(node.start_mark.index, node.end_mark.index - 1, members)

    def _end(self, key: Any, node: Any) -> int:
        """Where the line after the value begins. A block's own end is where the next thing begins, behind comments that are not its own;
        an alias stands where its anchor does."""
        while isinstance(node, self.yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            key, node = last if isinstance(last, tuple) else (node, last)
        mark = node.end_mark if node.start_mark.index >= key.start_mark.index else key.end_mark
        if mark.column == 0 and mark.index:  # of a text in lines
            return int(mark.index)
        end = self.text.find("\n", mark.index)
        return end + 1 if end >= 0 else len(self.text)


def _moved(lines: str, indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in lines.splitlines())
