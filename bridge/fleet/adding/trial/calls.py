"""Which calls are made of tools that nobody knows, with which arguments, and whether an answer is a success. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge.fleet.adding.draft import is_blank
from bridge.protocol.schemas import Stays, target_of

TELLS_TOO_MUCH = re.compile(r"env|secret|token|credential|password", re.IGNORECASE)
READS = re.compile(
    r"(^|[_-])(list|get|read|show|describe|status|info|version|health|ping|whoami|current|search|find|query|lookup|fetch|check|count|validate)([_-]|$)",
    re.IGNORECASE,
)
CHANGES = re.compile(
    r"(^|[_-])(delete|remove|drop|clear|reset|create|add|write|update|set|save|store|edit|move|rename|copy|send|post|publish|upload|put|insert|append|execute|exec|run|"
    r"eval|patch|replace|modify|apply|rewrite|submit|import|sync|register|subscribe|unsubscribe|login|logout|launch|trigger|invite|assign|approve|grant|revoke|rotate|kill|stop|start|restart|shutdown|install|uninstall|deploy|book|buy|pay|order|transfer|click|type|press|open|close|commit|push|merge|reply|archive|cancel|enable|disable)([_-]|$)",
    re.IGNORECASE,
)
MOST, MOST_OTHERS = 10, 6  # calls of tools that seem to read, and of others
FAILED = re.compile(
    r"^\W*(?:(?:an?|the|api|http|https|mcp|internal|tool|unexpected|network|connection|request|server|database|unknown|fatal|validation) )*"
    r"(?:\w*error|errors|exception|traceback|fail|failed|failure|unable|cannot|can not|could not|couldn't|can't)\b"
    r"|^\s*[❌🚫✖✗✘⛔]|^[^\n]{0,100}\b(?:must be provided|must provide)\b|^\W*(?-i:(?:[A-Z][\w-]* ){1,2}\w*(?:Error|Exception)): ",
    re.IGNORECASE,
)
NO_NETWORK = re.compile(
    r"ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET|connection refused|fetch failed|getaddrinfo|name resolution|name or service not known|"
    r"connection attempts failed|ConnectError|Max retries|network (is unreachable|error|issue)|cannot connect|connect timeout|failed to connect|"
    r"failed to (fetch|load|retrieve|download)|timed out",
    re.IGNORECASE,
)
NO_KEY = re.compile(
    r"(api[ _-]?key|token|credentials?|password|account|environment variables?|(?-i:[A-Z][A-Z0-9]*_[A-Z0-9_]+))\b.{0,60}\b(required|missing|must be set|need|unset|not (been )?(set|found|configured|provided|defined)|invalid)|"
    r"(missing|set|provide|no|invalid|requires?) .{0,40}(api[ _-]?key|token\b|credential|environment variable)|not (authenticated|authorized|logged in|configured)|(need|have) to (register|sign in|sign up|log in)|unauthorized|(missing|no|required|invalid) .{0,40}\bconfiguration",
    re.IGNORECASE,
)
OPERAND = re.compile(
    r"[a-dnxyz]\d?|(?:first|second)?_?(?:num|number|operand|value|int)_?[\dab]?|addend|augend|base|exponent", re.IGNORECASE
)
A_PID = re.compile(r"(^|_)(pid|process_?id)$", re.IGNORECASE)
NOBODYS_PID = 99_999_999  # 1 would be the trial itself: there are servers that end processes
NUMBERS = (
    (re.compile(r"(^|_)lat(itude)?($|_)", re.IGNORECASE), 51.5),
    (re.compile(r"(^|_)(lon|lng|long|longitude)($|_)", re.IGNORECASE), -0.1),
    (re.compile(r"(^|_)year($|_)", re.IGNORECASE), 2025),
)
# In quotes, or a word that no sentence goes on with, with a sign of its own in it: (e.g. AAPL, MSFT), for example 2024-01-31.
EXAMPLE = re.compile(
    r"(?:\be\.?g\.?[,:]?|\bfor example[,:]?|\bsuch as|\bexamples?[:=])\s*"
    r"(?:[\"'`]([^\"'`\n]{1,80})[\"'`]|(?=\S*(?-i:[A-Z\d/@_.-]\S))([\w/@][\w/@:.+-]{0,79}?)(?=\.?(?:[,;)\]]|\s*$|\s+or\b)))",
    re.IGNORECASE | re.MULTILINE,
)
# The first of several that may be chosen: Available formats: date, time; must be one of ["a", "b"].
CHOICES = re.compile(
    r"\b(?:available|allowed|valid|supported|possible|accepted)\b[^:.\n]{0,40}(?:are)?:\s*[\[({]*\s*(?:[-*]\s+)?[`'\"]?([\w@][\w/.+-]*\w)(?=[`'\"]?\s*(?:[,|:)\]}\n]|or\b|-\s))"
    r"|\b(?:must|should) be (?:one of|either)?[:\s]*[\[({]*[`'\"]([\w@][\w/.+-]*)[`'\"]",
    re.IGNORECASE,
)
ANYTHING, AN_ADDRESS_OF_NOBODY = "test", "192.0.2.1"  # RFC 5737
A_FOLDER = "/tmp"
AN_ENDING = re.compile(r"(?<![\w/.])\.[a-z]\w{1,4}\b")  # of a file: (.xlsx)
AN_ADDRESS = re.compile(r"(ur[il]|link|website)s?$", re.IGNORECASE)
# None of a placeholder's.
SHOWN_ADDRESS = re.compile(
    r"https?://(?![\w.-]*(?:example|localhost|your|127\.)|\.\.\.)[\w-]+(?:\.[\w-]+)+(?:/[^\s\"'`<>{}()\[\],*]*)?(?<![.:])"
)
SOME_ADDRESS = "https://example.com/"
# Of an argument: "a file path or URL", "path (absolute, relative, or URL)", "URL or local path".
OR_AN_ADDRESS = re.compile(
    r"\b(?:path|file)s?\b[^.\n]{0,40}(?:,|\bor\b) (?:or )?(?:[\w/:]+ ){0,2}URLs?\b|\bURLs?(?:,| or)\b[^.\n]{0,30}\b(?:path|file)\b",
    re.IGNORECASE,
)
ALL = re.compile(r"(^|[_-])(all|everything|full|dump|bulk|export)([_-]|$)")  # of what may be much
DEEPEST, MOST_PARTS = 6, 500  # levels of a schema that are filled, and parts of it that are looked at
BEGINNING = 200  # characters of an answer
SHORT = 1000  # characters: what is longer is an answer that speaks of errors, rather than one


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: dict[str, Any]
    reads: bool = False  # as its annotations or its name say
    said: bool = True  # its arguments are those of its schema, or none; not guesses
    harms: bool = False  # as its annotations or its name say


def planned(tools: list[dict[str, Any]]) -> list[Call]:
    """Calls that show what a server does, each tool at most once: the most likely smoke call first, what changes things last."""
    every = sorted(filter(None, map(_call, tools)), key=lambda rated: rated[0])
    reading = [call for _, call in every if call.reads and not call.harms][:MOST]
    others = [call for _, call in every if not call.reads or call.harms][:MOST_OTHERS]
    return reading + others


def _call(tool: dict[str, Any]) -> tuple[tuple[bool | int, ...], Call] | None:
    name, hints = tool.get("name"), tool.get("annotations") or {}
    if not isinstance(name, str):
        return None
    words = with_underscores(name)
    arguments, said = sample(tool.get("inputSchema"), str(tool.get("description") or ""))
    adds_up = bool(arguments) and all(map(OPERAND.fullmatch, arguments)) and all(isinstance(one, int | float) for one in arguments.values())
    certain = hints.get("readOnlyHint") is True or (adds_up and hints.get("destructiveHint") is not True)
    harms = not certain and (hints.get("destructiveHint") is True or bool(CHANGES.search(words)))
    reads = certain or (not harms and bool(READS.search(words)) and hints.get("readOnlyHint") is None)
    shy = bool(TELLS_TOO_MUCH.search(words))
    heavy = bool(ALL.search(words.lower()))
    return (harms, shy, not said, not certain, not reads, heavy, len(arguments)), Call(name, arguments, reads and not shy, said, harms)


def with_underscores(name: str) -> str:
    """list_Things, of listThings."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def sample(schema: Any, about: str = "") -> tuple[dict[str, Any], bool]:
    """Arguments that a schema accepts, as few as may be, and whether the schema itself gives them, or what is said `about` its tool."""
    root = schema if isinstance(schema, dict) else {}
    arguments, said = {}, True
    demanded = _demanded(root)
    for name in demanded:
        part = (root.get("properties") or {}).get(name)
        guess, is_said = _value(str(name), part, root)
        is_texts = isinstance(guess, list) and bool(guess) and isinstance(guess[0], str)
        if not is_said and (isinstance(guess, str) or is_texts):
            words = about if len(demanded) == 1 else line_of(str(name), about)
            example = "" if str(guess).startswith(A_FOLDER) else _example(str(name), part, about)
            choice = CHOICES.search(_described(part)) if guess in (ANYTHING, [ANYTHING]) and not example else None
            example = (choice[1] or choice[2]) if choice else example
            given, is_said = example or SOME_ADDRESS * bool(OR_AN_ADDRESS.search(f"{_described(part)} {words}")), bool(example)
            guess = ([given] if is_texts else given) if given else guess
        arguments[name], said = guess, said and is_said
    return arguments, said


def chosen(arguments: dict[str, Any], complaint: str) -> dict[str, Any] | None:
    """The same with what a refusal offers or wants in the place of the guess that it names, or of the only one."""
    guesses = [name for name, value in arguments.items() if value == ANYTHING]
    named = [name for name in guesses if name.replace("_", " ").lower() in complaint.replace("_", " ").lower()] or guesses
    found = CHOICES.search(complaint)
    better = (found[1] or found[2]) if found else AN_ADDRESS_OF_NOBODY if re.search(r"\bIP\b", complaint) else ""
    return arguments | {named[0]: better} if better not in ("", ANYTHING) and len(named) == 1 else None


def names_in(arguments: Any) -> Iterator[str]:
    """Of arguments, also of those inside of lists and objects."""
    for name, value in arguments.items() if isinstance(arguments, dict) else ():
        yield str(name)
        yield from names_in(value)
    for one in arguments if isinstance(arguments, list) else ():
        yield from names_in(one)


def parts(schema: Any, root: dict[str, Any], known: set[int] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The properties of a schema, each by its name, also of those inside of lists, choices and objects. `known`: what was looked at already."""
    schema, known = resolved(schema, root), known if known is not None else set()
    if not schema or id(schema) in known or len(known) > MOST_PARTS:
        return
    known.add(id(schema))
    properties = schema.get("properties")
    for name, one in properties.items() if isinstance(properties, dict) else ():
        yield str(name), resolved(one, root)
        yield from parts(one, root, known)
    for inner in (schema.get("items"), *_choices(schema)):
        yield from parts(inner, root, known)


def resolved(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """What stands where a `$ref` points, with what is said beside that; itself where it has none."""
    for _ in range(DEEPEST):
        if not isinstance(schema, dict) or "$ref" not in schema:
            break
        try:
            schema = target_of(root, str(schema["$ref"]))
        except Stays:
            return {}
    return schema if isinstance(schema, dict) else {}


def _choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    every = [schema.get(key) for key in ("anyOf", "oneOf", "allOf")]
    return [one for some in every if isinstance(some, list) for one in some if isinstance(one, dict) and one.get("type") != "null"]


def _demanded(schema: dict[str, Any]) -> list[str]:
    """The properties that it cannot do without: its own, else those of the first choice that it has ({required: [url]} or {required: [path]})."""
    return next((one["required"] for one in (schema, *_choices(schema)) if isinstance(one.get("required"), list) and one["required"]), [])


def _example(name: str, schema: Any, about: str) -> str:
    """What a description has: "IATA code (e.g. 'JFK')". Of a tool's it is the line that begins with the name, for an address all of it."""
    described = _described(schema)
    if AN_ADDRESS.search(name) and (address := SHOWN_ADDRESS.search(described) or SHOWN_ADDRESS.search(about)):
        return address[0]
    found = EXAMPLE.search(described) or EXAMPLE.search(line_of(name, about))
    example = (found[1] or found[2]) if found else ""
    return "" if is_blank(example) else example


def _described(schema: Any) -> str:
    return str(schema.get("description") or "") if isinstance(schema, dict) else ""


def line_of(argument: str, about: str) -> str:
    """The line of a tool's description that is about that argument, as Python's docstrings have one for each."""
    return next((line for line in about[:10_000].splitlines() if re.match(rf"\W*{re.escape(argument)}\b", line)), "")


def _value(name: str, schema: Any, root: dict[str, Any], depth: int = 0) -> tuple[Any, bool]:
    schema = resolved(schema, root)
    if depth > DEEPEST or "$ref" in schema:
        return None, False
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key], True
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0], True
    if (choices := _choices(schema)) and "properties" not in schema:
        return _value(name, choices[0], root, depth + 1)
    kind = schema.get("type")
    kind = next((one for one in kind if one != "null"), None) if isinstance(kind, list) else kind
    match kind:
        case "integer" | "number":
            known = next((number for pattern, number in NUMBERS if pattern.search(name)), 1)
            return NOBODYS_PID if A_PID.search(name) else schema.get("minimum", 1) if known == 1 else known, False
        case "boolean":
            return False, False
        case "array":
            return ([_value(name.removesuffix("s"), schema.get("items"), root, depth + 1)[0]] if schema.get("minItems", 1) else []), False
        case "object":
            inner = schema.get("properties") or {}
            wanted = _demanded(schema) or sorted(inner, key=_says_little)[:1]  # an empty one asks for nothing
            return {key: _value(str(key), inner.get(key), root, depth + 1)[0] for key in wanted}, False
    return _text(name.lower(), schema), False


def _says_little(name: str) -> int:
    """How little a property is likely to say of what a tool is to work on."""
    words = with_underscores(name).lower()
    return next((at for at, says in enumerate((r"ur[il]|link", r"path|file", r"quer|text|content|name|id")) if re.search(says, words)), 9)


def _text(name: str, schema: dict[str, Any]) -> str:
    hint = f"{name} {schema.get('format', '')}"
    if re.search(r"\bSQL\b", f"{schema.get('description', '')} {schema.get('title', '')}"):
        return "SELECT 1"
    for pattern, text in (
        ("(^|_)id_or_", "1"),
        ("ur[il]|link|website", SOME_ADDRESS),
        ("e-?mail", "somebody@example.com"),
        ("date-time|timestamp", "2026-01-02T03:04:05Z"),
        ("date", "2026-01-02"),
        ("time_?zone|tz", "UTC"),
        ("time", "12:00"),
        (r"path|file(?!_?(?:key|id|type)s?\b)|(^|_)dir|folder", path_of(name, str(schema.get("description")))),
        ("domain|host", "example.com"),
        ("lang", "en"),
        ("airport|iata|origin|destination|departure|arrival", "JFK"),
        ("symbol|ticker", "AAPL"),
        ("city|location|place|address", "London"),
        ("country", "US"),
        ("currency", "EUR"),
        ("sql|statement", "SELECT 1"),
        ("expression|formula|math", "1 + 1"),
        ("(^|_)id($|_)", "1"),
    ):
        if re.search(pattern, hint):
            return text
    is_part = re.search(r"(?:id|key|name)s?$", name)  # of the address that the words show
    return SOME_ADDRESS if re.search(r"\bUR[LI]\b", str(schema.get("description"))) and not is_part else ANYTHING


def path_of(name: str, about: str) -> str:
    """A folder, or a file that is not there, where that is surely what an argument names."""
    is_file = re.search("file", name) and not re.search("dir|folder", f"{name} {about.lower()}")
    ending = AN_ENDING.search(about)
    return f"{A_FOLDER}/file{ending[0] if ending else ''}" if ending or is_file else A_FOLDER


def complaint(result: dict[str, Any] | None, error: str = "") -> str:
    """Why this answer is no success, in its own words; empty if it is one. Many servers tell their errors as text."""
    from bridge.inspect.show import result as shown  # start-up time: it brings the SDK

    if result is None:
        return error or "no answer"
    text = shown(result).strip()
    if result.get("isError"):
        return text or "an error without a word"
    data = _json(text)
    for said in (result.get("structuredContent"), data):
        if words := _error_in(said):
            return words
    if isinstance(data, dict | list):
        return ""
    if FAILED.match(text) or (len(text) < SHORT and (NO_NETWORK.search(text) or NO_KEY.search(text))):
        return text
    return ""


def one_refusal(answers: list[str]) -> list[bool]:
    """Which answers of several tools are the same words over and over, of a key that is missing or of nobody who answers."""
    begins = Counter(answer[:BEGINNING] for answer in answers)
    same = [begin for begin, number in begins.items() if number > 2 and (NO_KEY.search(begin) or NO_NETWORK.search(begin))]
    return [any(begin in answer for begin in same) for answer in answers]


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in ("{", "[", '"') else None
    except ValueError:
        return None


def _error_in(said: Any) -> str:
    if isinstance(said, str):
        return said if FAILED.match(said) else ""
    if isinstance(said, list):
        each = [_error_in(one) for one in said]
        return each[0] if each and all(each) else ""
    if not isinstance(said, dict):
        return ""
    for name, value in said.items():
        if name.lower() in ("error", "errors", "error_message", "errormessage") and value:
            return value if isinstance(value, str) else json.dumps(value)
    ends = {str(said.get(name, "")).lower() for name in ("status", "result")}
    if said.get("success") is False or said.get("ok") is False or ends & {"error", "failed", "failure"}:
        return str(said.get("message") or said.get("reason") or json.dumps(said))
    if said and all(isinstance(one, dict) for one in said.values()):  # what became of each thing that it was asked for
        return _error_in(list(said.values()))
    return _error_in(said["result"]) if set(said) == {"result"} else ""
