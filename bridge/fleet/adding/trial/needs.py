"""What a server says that it lacks: variables, and what could stand in their place; programs; an account. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator
from math import inf

from bridge.fleet.adding.draft import holds_secret
from bridge.fleet.adding.sdks import SDKS
from bridge.fleet.adding.trial import usage
from bridge.fleet.adding.trial.calls import NO_KEY, NO_NETWORK, with_underscores
from bridge.fleet.adding.trial.code_facts import AN_ERROR, NAMED
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.adding.trial.dependencies import DEBIAN, PATH_OF_A_PROGRAM
from bridge.fleet.adding.trial.published import BY_HAND
from bridge.fleet.adding.trial.readmes import OF_A_DESK
from bridge.fleet.adding.trial.witness import ENDED, LISTENING, Made
from bridge.fleet.engines import reason
from bridge.fleet.parts import OF_A_BROWSER

WANTS = re.compile(
    r"require|missing|must|not (been )?(set|found|provided|defined|configured)|\bset\b|provide|need|environment|undefined|export|KeyError|empty|invalid|specify|expected|configure",
    re.IGNORECASE,
)
NOT_ENGLISH = re.compile(r"[^\W\d_A-Za-z]")  # the letters of other languages, whose words for that nobody lists
A_TAG = re.compile(r"\[[A-Z_]+:")  # of a complaint: [NOT_SET: X_KEY]
NO_VARIABLE = re.compile(
    r"^KUBERNETES_MASTER$|^(AF|SOCK|ERR|MODULE|NODE|PYTHON|UV|NPM|SSL|HTTP|HTTPS|NO|EAI|MCP_BRIDGE|LD|LC|JSON|JSON_RPC|METHOD|INVALID|CERT|FASTMCP)_|_EXPORTED$"
    r"|(^|_)(ALLOW|DISABLE|ENABLE|SKIP|FORCE|DEBUG|VERBOSE|INSECURE)(_|$)"  # a switch: advice, and no need
)
# What one may set, and need not.
ADVICE = re.compile(
    r"\bto (?:limit|filter|restrict|reduce|narrow|enable|disable|silence|suppress|change|override|customi[sz]e|opt out)\b", re.IGNORECASE
)
# Among what a complaint wants to be set.
SAID_TO_BE_OPTIONAL = re.compile(
    r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?=\W{1,4}(?i:optional)\b)|(?<=[Ll]eave )([A-Z][A-Z0-9_]+)(?= empty| unset)"
    r"|\b(?i:also|optionally) (?:set|use|provide) (?:the )?[`'\"]?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"
)
MISTAKE = re.compile(r"error|exception|never awaited|must|require|missing|cannot|failed|invalid|not |\bexpired\b", re.IGNORECASE)
REFUSED = re.compile(r"\b(?:invalid|malformed|incorrect|wrong|rejected|format|unauthori[sz]ed|forbidden|40[13])\b", re.IGNORECASE)
A_COUNT = re.compile(r"telemetry|\botlp\b", re.IGNORECASE)  # who only counts its use is no reason for an end
DENIAL = re.compile(r"\b(no|without|only|usage)\b", re.IGNORECASE)
OR = re.compile(r"\b(?:or|alternatively|otherwise)\b", re.IGNORECASE)
OR_AN_ARGUMENT = re.compile(
    r"\b(?:parameter|argument)\b[^.]{0,20}\bor\b|\bor\b[^.]{0,40}\b(?:parameter|argument)\b", re.IGNORECASE
)  # of a call
TOGETHER = re.compile(r"\band\b|&|\+|\bboth\b|\ball\b", re.IGNORECASE)
ONLY_A_HELP = "it only prints how it is used"
MOST_GUESSES = 4
FLAG = re.compile(
    r"\b(?:requires?|must|use|pass|add|specify|set|provide|missing)\b[^'\"`\n]{0,40}?['\"`]?(--(?!help|version)[a-z][a-z0-9-]+)['\"`]?(?= flag|[.,;)'\"`]|$)"
    r"|(?<!\S)['\"`]?(--[a-z][a-z0-9-]+)['\"`]? (?:(?:argument|flag|option|parameter) )?(?:is|are) (?:missing|mandatory|needed|required)\b",
    re.IGNORECASE,
)
PORT = re.compile(r"(?:\bport\W{1,3}|(?:\b[a-z][\w.-]*|(?:\d{1,3}\.){3}\d{1,3}|\]):(?=\d{3}))(\d{2,5})\b", re.IGNORECASE)
# The tools that need nobody to answer: whoever only has those does nothing yet.
ONLY_LIVES = re.compile(
    r"(^|_)(ping|echo|hello|version|(test|check|is)_connect(ion|ed)|((server|connection)_)?(health|status)(_check)?|api_key_status|(check|validate)_(api_)?(key|token)|check_(for_)?updates?)$",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"(^|_)(HOST|HOSTNAME|UR[IL]|ENDPOINT|ADDR|ADDRESS|SERVER|BASE)($|_)")
OF_SOMEBODY = re.compile(r"UR[IL]|HOST|ENDPOINT|SERVER|ADDR|USER|ACCOUNT|ORG|TENANT|PROJECT|DATABASE|DB|DOMAIN")
A_LOGIN = re.compile(
    r"\b(api[ _-]?keys?|access[ _-]?token|credentials?|log ?in|authenticat\w+|unauthori[sz]ed|401)\b", re.IGNORECASE
)  # at somebody's
# In quotes, or behind a colon: Run `it login`. Please run: gh auth login
RUN_TO_LOG_IN = re.compile(
    rf"\b(?:run|execute|use)(?::\s+|:?\s+[`'\"])(?!npm |pnpm |yarn |make |pip |git |docker )"
    rf"((?:npx (?:-y )?|uvx )?[a-z@][\w@/.-]*(?: [a-z][\w-]*)? (?:{BY_HAND.pattern}))(?![\w-])",
    re.IGNORECASE,
)
OF_MEMORY = re.compile(r"heap out of memory|OOMErrorHandler|Allocation failed|\bMemoryError\b|Cannot allocate memory|\bOut of memory\b")
IN_JSON = re.compile(r"\"(?:error|err|msg|message|event)\"\s*:\s*\"([^\"]+)\"")  # a line of a log that is an object
BESIDE_IT = re.compile(
    rf"\b(?:[Mm]ake sure|[Ee]nsure|[Ii]s|[Cc]heck (?:that|if)) (?:that )?(?:the )?{OF_A_DESK}[A-Z]\w+(?: \w+){{0,2}} (?:is )?(?:running|open)\b"
    rf"|\b[Nn]o (?:running )?{OF_A_DESK}[A-Z]\w+ (?:instance|application|window)s?\b"
)
# Of a stack, of a help, or where more is to be read.
NO_REASON = re.compile(
    r"\S+:\d+: \w*(?:Deprecation|Future|Syntax|User)Warning: |.*\bUnclosed \w+|"  # of Python, and of asyncio after an end
    r"\s*(-{1,2}[a-zA-Z]|(?i:more help|require ?stack|for further information)|at |File \"|\^|~|Node\.js v|\}|\{|npm )"
    r"|\W*(?i:use|run|try|pass|add|set|see)\b.{0,60}\b(?:detail(?:s|ed)|verbose|more information|stack ?trace)\b"
)
A_TIME = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ][\d:.,]+\S*(?: \|)? *(?=\w|\[)")  # before a line of a log
SHOWS_CODE = re.compile(r'\s*File "|\S+:\d+: \w+Warning: ')  # in the line below
ABSENT_MODULE = re.compile(r"No module named '(\w+)'")  # as a whole, not a part of one that is there
# What a runtime says that would rather have something of the system, or somebody who is told of its use, and the variable by which it does without.
DOES_WITHOUT = (
    (re.compile(r"Couldn't find a valid ICU package"), {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}),
    (re.compile(r"Exception while exporting Span|/opentelemetry/exporter/"), {"OTEL_SDK_DISABLED": "true"}),  # it waits for who counts
)


def missing(seen: Seen) -> list[str]:
    """The variables that it says it cannot start without."""
    if seen.report["started"] or listens(seen):
        return []
    if usage.is_only_help(seen) or last_words(seen).startswith(ONLY_A_HELP):  # which names what there is
        return _asked_for(seen)
    above = [line for line in seen.report["words"] if any(sdk.says.search(line) for sdk in SDKS)]  # its help may follow
    return _first([*_lines_of_its_end(seen), *above]) or _asked_for(seen) or _of_one_word(seen)


def missing_for_calls(seen: Seen) -> tuple[list[str], bool]:
    """The variables that failed calls name (or the log, if all failed), and whether no call works without: every one failed, and none of them
    only because it reached nobody. One that asked its cloud's machine who it is works nowhere else without."""
    asked = [name for call in seen.report["calls"] if call["complaint"] for name in _asked_for(seen, call["began"], call["ended"])]
    names, log = list(dict.fromkeys([*_first(_lines_of_its_calls(seen)), *asked])), " ".join(seen.report["words"])
    said = [call["complaint"] for call in seen.report["calls"] if not any(sdk.says.search(call["complaint"]) for sdk in SDKS)]
    others = (one for one in said if not any(name in one for name in names))
    may_work = bool(names) and not (asked or any(name in log for name in names)) and any(map(NO_NETWORK.search, others))
    return names, all_failed(seen) and not may_work


def ways(seen: Seen, names: Collection[str]) -> tuple[list[str], str]:
    """What it takes in the place of some of these, as its lines say that, and the same in words; empty if it says nothing of that."""
    lines = _lines_of_its_calls(seen) + seen.report["words"] if seen.report["started"] else _lines_of_its_end(seen)
    for first, *others in filter(None, map(_groups, lines)):
        rest = [name for name in first if not all(name in way for way in others)]
        found = [less for way in others if (less := [name for name in way if name not in first])]
        if rest and found and {*first} <= {*names}:
            about = f"instead of {all_of(rest)} it takes {', or '.join(map(all_of, found))}"
            return [name for way in found for name in way], about
    return [], ""


def all_of(names: list[str]) -> str:
    """A, B and C"""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def likely(seen: Seen, candidates: Collection[str]) -> list[str]:
    """Of the variables that its code reads: those that its last words speak of ("URL cannot be empty"); all if they are few."""
    text = " ".join(re.sub(r"[\W_]+", " ", line).lower() for line in _lines_of_its_end(seen))
    chosen = [name for name in candidates if re.search(rf"\b{_spoken(name)}\b", text)] or list(candidates)
    return chosen if len(chosen) <= MOST_GUESSES else []


def speaks_of(seen: Seen, names: Collection[str]) -> bool:
    """Whether its last words are about one of these variables, by whatever name, or about a login."""
    words = last_words(seen)
    is_said = re.search(r"placeholder|\b40[13]\b", words) or NO_KEY.search(words) or A_LOGIN.search(words)
    return bool(is_said) or any(is_spoken_of(name, words) for name in names)


def is_spoken_of(name: str, text: str) -> bool:
    """Whether a text is about that variable, by whatever name: "Credentials not found" of SITE_CREDENTIALS_PATH."""
    plain = re.sub(r"[\W_]+", " ", text).lower()
    return bool(re.search(rf"\b{_spoken(re.sub('_(PATH|FILE)$', '', name))}\b", plain))


def flag(seen: Seen) -> str:
    """The option without a value that its last words ask for; empty if they ask for none."""
    return "" if seen.report["started"] else next((found[1] or found[2] for found in FLAG.finditer(last_words(seen))), "")


def missed_options(seen: Seen) -> list[str]:
    """The options of its command that its calls want, where none works."""
    lines = _lines_of_its_calls(seen) if seen.report["started"] and all_failed(seen) else []
    lines = [line for line in lines if not RUN_TO_LOG_IN.search(line)]  # which is another command of it
    return list(
        dict.fromkeys(
            one for line in lines if WANTS.search(line) for one in re.findall(r"(?<![\w-])--(?!help|version)[a-z][a-z0-9-]+", line)
        )
    )


def settings(seen: Seen) -> dict[str, str]:
    """The variables by which its runtime can do without what it did not find."""
    if seen.report["started"]:
        return {}
    return {
        name: value for line in seen.report["words"] for says, given in DOES_WITHOUT if says.search(line) for name, value in given.items()
    }


def listens(seen: Seen) -> bool:
    """Whether it waits for clients elsewhere than at its input: it lives, says an address or a port, and answers nothing."""
    words = "\n".join([*seen.report["words"], *seen.report["help"]])
    return not seen.report["started"] and seen.is_silent and bool(LISTENING.search(words))


def port(seen: Seen) -> str:
    """At which it says that it listens; empty if it says none."""
    lines = [line for line in [*seen.report["words"], *seen.report["help"]] if LISTENING.search(line)]
    return next((found[1] for line in lines if (found := PORT.search(line))), "")


def absent_module(seen: Seen) -> str:
    """The module of Python that ended it, which nothing that is installed has; empty if it is not that."""
    found = ABSENT_MODULE.search(last_words(seen)) if not seen.report["started"] else None
    return found[1] if found else ""


def desk(seen: Seen) -> str:
    """The line by which it wants a program with windows to run beside it; empty if it wants none."""
    return next((line.strip() for line in _lines_of_its_end(seen) if BESIDE_IT.search(line)), "") if not seen.report["started"] else ""


def wants_configuration(seen: Seen) -> bool:
    """Every call failed, not for want of the network, but of something that it should have been told."""
    return not seen.reached and all_failed(seen) and bool(wants_account(seen))


def wants_somebody(seen: Seen) -> bool:
    """The same where what it should have been told is of somebody that it talks to: a key, a user, an address."""
    names = NAMED.findall(wants_account(seen))
    return wants_configuration(seen) and (not names or any(holds_secret(name) or OF_SOMEBODY.search(name) for name in names))


def wants_account(seen: Seen) -> str:
    """What the first call said that failed for want of an account or a key; empty if none did."""
    says = (NO_KEY, *(sdk.says for sdk in SDKS))
    return next((call["complaint"] for call in seen.report["calls"] if any(one.search(call["complaint"]) for one in says)), "")


def wants_login(seen: Seen) -> str:
    """The same where it speaks of a login at somebody's, and not of a setting."""
    account = wants_account(seen)
    return account if A_LOGIN.search(account) else ""


def login(seen: Seen) -> str:
    """The command by which a person logs in, as its failed calls and its last words say it; empty if they say none."""
    texts = [*(call["complaint"] for call in seen.report["calls"]), *seen.report["words"]]
    return next((found[1] for text in texts if (found := RUN_TO_LOG_IN.search(text))), "")


def wants_memory(seen: Seen) -> bool:
    """Whether it ended for want of memory, at its start or in a call."""
    has_ended = not seen.report["started"] or any(call["complaint"] == ENDED for call in seen.report["calls"])
    return has_ended and any(OF_MEMORY.search(line) for line in seen.report["words"])


def last_words(seen: Seen) -> str:
    """Why it did not start: the line of its stderr that says so (not a stack's last frame, nor what stands in its help); else what the trial saw, and its last line."""
    helps = {line.strip() for line in usage.helps(seen)}
    shown = zip(["", *seen.report["words"]], seen.report["words"], strict=False)
    lines = [
        A_TIME.sub("", line.strip()) for before, line in shown if line.strip() and not SHOWS_CODE.match(before)
    ]  # which shows its code
    words = [(line[0] == "{" and ": ".join(IN_JSON.findall(line))) or line for line in lines]
    inner = [(line, line.strip(" │┃|╭╮╰╯─")) for line in words if line[0] != "╭"]  # of a box, without its title
    if refused := [line for _, line in inner if usage.REFUSES.search(line)]:
        return refused[-1][:300]
    lines = [line for whole, line in inner if line and whole not in helps and not (NO_REASON.match(line) or A_COUNT.search(line))]
    for says in (MISTAKE, reason.BAD, DENIAL):
        if telling := [line for line in lines if says.search(line)]:
            return (f"{seen.report['why_not']}; its last words: {telling[-1]}" if seen.is_silent else telling[-1])[:300]
    if words and helps and not lines:
        if crashes := [line for line in words if reason.NAMED.search(line)]:  # it crashed beside its help, too
            return crashes[-1][:300]
        told = " ".join(words) or seen.report["why_not"]
        return f"{ONLY_A_HELP}: its command lacks something" if usage.is_a_help(words) else told[:300]
    return "; its last words: ".join([seen.report["why_not"], *lines[-1:]])[:300]


def all_failed(seen: Seen) -> bool:
    """All but those that would say no more than that it lives, where there are others."""
    calls = telling(seen) or seen.report["calls"]
    return bool(calls) and all(call["complaint"] for call in calls)


def telling(seen: Seen) -> list[Made]:
    """The calls but for those that would say no more than that it lives."""
    return [call for call in seen.report["calls"] if not ONLY_LIVES.search(with_underscores(call["tool"]))]


def _lines_of_its_end(seen: Seen) -> list[str]:
    return [line for text in (*seen.report["words"][-25:], seen.report["why_not"]) for line in text.splitlines()]


def _lines_of_its_calls(seen: Seen) -> list[str]:
    texts = [call["complaint"] for call in seen.report["calls"]] + seen.report["words"] * all_failed(seen)
    return [line for text in texts for line in text.splitlines()]


def _first(lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    groups = list(map(_groups, lines))
    others = {name for one in groups for group in one[1:] for name in group if name not in one[0]}  # also where a log breaks such a line
    named = [name for one in groups for group in one[:1] for name in group]
    named = [name for name in named if name not in others] or named
    optional = {name for line in lines for found in SAID_TO_BE_OPTIONAL.finditer(line) for name in found.groups()}
    installed = {one[0] for line in lines for one in PATH_OF_A_PROGRAM.finditer(line) if one[1].lower() in DEBIAN}
    named = [name for name in named if name not in {*optional, *installed, *OF_A_BROWSER}]
    known = [name for line in lines for sdk in SDKS if sdk.says.search(line) for name in sdk.keys]
    return list(dict.fromkeys([*named, *known]))


def _asked_for(seen: Seen, since: float = 0.0, until: float = inf) -> list[str]:
    """The keys of an SDK that asked its cloud's machine who it is."""
    hosts = {reach.what.partition(":")[0] for reach in seen.reached if since <= reach.at <= until}
    return [name for sdk in SDKS if sdk.asks and sdk.asks in hosts for name in sdk.keys]


def _of_one_word(seen: Seen) -> list[str]:
    """The first variable of one word (DSN, TOKEN) that its code reads and its last words say how to set: others of that kind stand in any text."""
    names = [name for name in seen.report["reads"] if "_" not in name]
    found = (
        name
        for line in _lines_of_its_end(seen)
        for name in names
        if re.search(rf"(?:\bexport |\bvariables?:? ?[`'\"]?|\$){name}\b|(?<![\w-]){name}=\S", line)
    )
    return list(found)[:1]


def _groups(line: str) -> list[list[str]]:
    """The variables that a line wants, and after them those that would do in their place: "KEY, or both USER and PASSWORD"."""
    if not (WANTS.search(line) or NOT_ENGLISH.search(line)) or ADVICE.search(line) or OR_AN_ARGUMENT.search(line):
        return []
    every = list(_variables(line))
    parts = [(part, [name for name in every if re.search(rf"\b{name}\b", part, re.ASCII)]) for part in OR.split(line)]
    parts = [(part, names) for part, names in parts if names]
    if len(parts) < 2:
        return [names for _, names in parts]
    groups: list[list[str]] = []
    for part, names in parts:
        groups += [names] if TOGETHER.search(part) else [[name] for name in names]  # "A, B or C"
    return groups


def _variables(text: str) -> Iterator[str]:
    every = dict.fromkeys(NAMED.findall(A_TAG.sub("", text)))
    names = [name for name in every if not (NO_VARIABLE.search(name) or AN_ERROR.search(name))]
    # NAME_FILE beside NAME is another way to give the same.
    return (name for name in names if name.removesuffix("_FILE") == name or name.removesuffix("_FILE") not in names)


def _spoken(name: str) -> str:
    """How people say it: of ES_API_KEY "api key", of ES_USER_API_KEY that too."""
    words = name.lower().split("_")
    ends = [words[1:], *(words[at:] for at in range(2, len(words) - 1))] if words[1:] else [words]
    return "(?:" + "|".join(" ?".join(end) for end in ends) + ")"
