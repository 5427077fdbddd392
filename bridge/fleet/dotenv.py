"""compose/.env as Docker Compose reads it, so that we never take another value than a container gets.

What Compose would fill in from elsewhere ($NAME) is refused: we do not see what it sees.
"""

import re
from pathlib import Path

from bridge.fleet.parts import VARIABLE
from bridge.settings import UsageError

_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_REST = re.compile(r"\s*(#.*)?")
_SPECIAL = re.compile(r"\\(.)|\$[A-Za-z_{$]", re.DOTALL)
_MEANS = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", '"': '"', "\\": "\\", "$": "$"}


def read_dotenv(path: Path) -> dict[str, str]:
    """Its variables; none if it is not there. Raises UsageError with the file, the line and the way out, but no value."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    result, end = {}, 0
    while end < len(lines):
        line, end = lines[end].lstrip(), end + 1
        if not line or line.startswith("#"):
            continue
        where = f"{path}:{end}"
        name, equals, value = re.sub(r"^export\s+", "", line).partition("=")
        name, value = name.strip(), value.lstrip()
        if not equals:
            raise UsageError(f"{where}: expected NAME=VALUE")
        if not VARIABLE.fullmatch(name):
            raise UsageError(f"{where}: not the name of an environment variable")
        where = f"{where}: {name}"
        if value[:1] in ("'", '"'):
            while not (found := _QUOTED.match(value)):
                if end == len(lines):
                    raise UsageError(f"{where}: its quote is not closed")
                value, end = f"{value}\n{lines[end]}", end + 1
            if not _REST.fullmatch(value, found.end()):
                raise UsageError(f"{where}: there is more behind its closing quote: quote all of it")
            value = _unescaped(found[2], where) if found[1] is None else found[1].replace("\\'", "'")
        else:
            value = value.partition(" #")[0].rstrip()
            if re.search(r"\$[A-Za-z_{$]", value):
                raise _filled_in(where)
        if "\0" in value:
            raise UsageError(f"{where}: a value cannot hold a null byte")
        result[name] = value
    return result


def quoted(value: str) -> str:
    """`value` as it is read back."""
    if re.fullmatch(r"[^\s'\"#$\\]*", value):
        return value
    return '"' + re.sub(r'["$\\]', r"\\\g<0>", value) + '"'


def _unescaped(text: str, where: str) -> str:
    def meant(found: re.Match[str]) -> str:
        if not found[1]:
            raise _filled_in(where)
        return _MEANS.get(found[1]) or found[0]

    return _SPECIAL.sub(meant, text)


def _filled_in(where: str) -> UsageError:
    return UsageError(f"{where}: Docker Compose would fill in a variable where '$' stands: put the value in single quotes, or write it out")
