"""What follows from what was seen: egress, storage, the smoke call, what is missing. Pure; each with its reason in a line."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address, ip_network
from math import inf
from pathlib import PurePosixPath
from typing import Any

from bridge.fleet.adding.trial import arguments
from bridge.fleet.adding.trial.arguments import PATH
from bridge.fleet.adding.trial.calls import (
    A_FOLDER,
    ANYTHING,
    CHANGES,
    NO_KEY,
    NO_NETWORK,
    TELLS_TOO_MUCH,
    Call,
    names_in,
    with_underscores,
)
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.adding.trial.dependencies import programs, wants_a_browser, wants_an_engine
from bridge.fleet.adding.trial.needs import ONLY_LIVES, wants_login, wants_somebody
from bridge.fleet.adding.trial.witness import CWD, ENDED, HOME, NO_ANSWER, Made, Report
from bridge.fleet.egress import PORTS, allowed

PLACEHOLDER = "placeholder.invalid"
STAND_IN = r"placeholder[-_][0-9a-f]{32}"  # the same for a value, also where a server makes a name of a variable of it
OF_A_VARIABLE = re.compile(rf"(?:_[\w-]+\._\w+\.)?([\w-]+)\.{PLACEHOLDER}")  # whose value would be a host, or a service's name (RFC 2782)
OF_A_SERVICE = re.compile(
    r"^(?!.*(?:^|_)(?:MCP|AUTH|OAUTH|ALLOWED|BIND|LISTEN)_).*(?:^|_)(?:HOST|PORT|UR[IL]|ADDR|ENDPOINT)"
)  # and not its own door's
OF_OPERATORS = re.compile(r"^placeholder-[0-9a-f]{32}[\w-]*\.")  # in a name: what the trial gave in the place of the operator's own
OWN_HOME, OWN_CWD = str(HOME), str(CWD)
SHARED = ip_network("100.64.0.0/10")  # RFC 6598; also where some clouds have their metadata
# Whoever only counts how a library is used: no server needs him.
TELEMETRY = re.compile(
    r"telemetry|events\.data\.|analytics|applicationinsights|\b(dc|rt)\.services\.visualstudio\.|\bsentry\.io|posthog|segment\.(io|com)|mixpanel|amplitude\.com|scarf\.sh|"
    r"bugsnag|datadoghq|\bdatadog-|honeycomb|statsig|featuregates\.org|\b(otel|otlp|metrics|stats|events|tracking|collector|beacon|matomo)[.-]|launchdarkly|rudderstack|rollbar|"
    r"raygun|newrelic|logrocket|heap(analytics)?\.io|plausible\.io|umami|"
    # and what a browser asks by itself: for a newer one, for its lists
    r"^(clients2\.google|(update|clientservices|optimizationguide-pa|safebrowsing|content-autofill)\.googleapis)\.com$|\.gvt1\.com$"
)
NEWER = re.compile(r"^(?:registry|pypi|api\.github)\.")  # where packages and their releases are
A_LOGIN = re.compile(r"(?:accounts?|auth\d?|id|login|oauth\d?|sso|sts)[.-]")  # a host where one logs in
INSTALLS = re.compile(r"(^|_)(pip_install|install(_python)?_(packages?|modules?|dependenc(y|ies)|requirements))(_|$)", re.IGNORECASE)
UPDATES = re.compile(r"(^|_)updates?$", re.IGNORECASE)
FEW = 4  # names in a line
UNLESS_INSIDE = ": false if that is inside the fleet"
SMALL = 1 << 20  # bytes: a bigger cache is worth to be kept
# What comes back by itself, whoever deletes it.
CACHES = re.compile(
    r"(?:(^|/)([\w.-]*caches?([._-][\w.-]*)?|te?mp|\.npm|\.local/state/mcp-bridge|\.config/(configstore|mcp-bridge|matplotlib|chromium[\w-]*|google-chrome[\w-]*)|\.node-gyp|\.nv|\.mcp-bridge|__pycache__|_logs|\.?([\w-]*[._-])?logs?|[^/]*([._-]te?mp|telemetry|uuid|device[_-]?id|machine[_-]?id|install(ation)?[_-]?id|update[_-]?check|consent)[^/]*|\.pki|\.dotnet|\.IdentityService|\.net|\.aspnet|\.yarn|\.uv)(/|$)|[._-](alive|log|lock|pid|sock|socket|tmp|pyc)$)",
    re.IGNORECASE,
)
GUESSED = "example.com"  # the address that tools were given
A_GUESSED_PATH = re.compile(rf"(?<![\w/]){A_FOLDER}(?:/file[\w.]*)?(?![\w/])")  # and the path
ON_ITSELF = ("127.", "[::1]:", "host.docker.internal:")
NOTHING = re.compile(r"(?!)")
AT_START = "at its start"
OF_ITS_OWN = re.compile(r"mcp|server", re.IGNORECASE)  # an empty folder in a home: others are those of libraries
POLITELY_NOT = re.compile(
    r"error|fail|unable|could ?n[o']t|cannot|can't|unavailable|offline|unreachable|try again|no (?:results?|data)\b|not found",
    re.IGNORECASE,
)
FEW_WORDS = 300  # characters
# In so short an answer: who was asked for is not there, which a status tells without an error.
NOT_THERE = re.compile(
    r"\b(?:missing|unavailable|offline|unreachable|disconnected|not[ _](?:yet[ _])?(?:connected|available|running|reachable|configured|initiali[sz]ed|logged in|authenticated)|only available (?:in|on|with|for|to))\b",
    re.IGNORECASE,
)
# The same of what was only a guess.
NO_SUCH = re.compile(
    r"\b(?:does(?: not|n't) exist|not found|no such|not an? valid|invalid|not supported|unsupported|must be)\b", re.IGNORECASE
)
NONE_THERE = re.compile(r"^\W*(?:no|none|nothing|not|there (?:is|are) no)\b[^\n]{0,100}$", re.IGNORECASE)
PRINTS_AN_ERROR = re.compile(r"^(?:\S+ ){0,4}\W*(?:error|traceback)\b", re.IGNORECASE | re.MULTILINE)  # whatever it answers
UNPACKED = re.compile(
    r"failed to map segment from shared object|cannot enable executable|spawn \S*/tmp/\S* EACCES|/tmp/home/\S*: Permission denied",
    re.IGNORECASE,
)
SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/opt", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/app")
DENIED = re.compile(
    r"(?:EROFS|EACCES|EPERM|ENOENT|read-only file ?system|permission denied|no such file or directory|does not exist|not writable|cannot create)"
    r"[^'\"\n/]{0,60}['\"]?(?<!\w)(/[\w.@~+-]+(?:/[\w.@~+-]+)*)|"
    r"(?:mkdir|open|create|write|creating|unlink)\w* ['\"]?(/[\w.@~+/-]+)['\"]?: (?:read-only file system|permission denied|no such file)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Egress:
    allowed: bool
    why: str
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Storage:
    """What it writes that should be kept: `home` and `cwd` are folders of the fleet that live in memory only."""

    home: bool = False
    cwd: bool = False
    places: tuple[str, ...] = ()  # folders elsewhere
    why: str = ""
    inside: str = ""  # it wants to write where its package is


def egress(seen: Seen, talks: bool, optional: Collection[str] = (), browses: bool = False, addresses: Collection[str] = ()) -> Egress:
    """`talks`: its keys and addresses say that it talks to somebody. `optional`: the keys that it works without. `browses`: there is a browser for it. `addresses`: the variables by which an operator says whom it asks."""
    report, hosts = seen.report, tuple(reached(seen))
    asks = ", ".join([one for one in report["speaks_to"] if _host(one)][:3])
    keys = ", ".join(list(optional)[:FEW]) + " …" * (len(optional) > FEW)
    first, uncalled = next(iter(hosts), ""), len(report["tools"]) - len(report["calls"])
    rest = f", and {uncalled} of its {len(report['tools'])} tools were not called" if uncalled > 0 else ": false if it does without"
    is_unproved = len(report["tools"]) > sum(_works(call) and call["said"] for call in report["calls"])
    has_browser, variables, in_a_call = browses or wants_a_browser(seen), _told_by_variables(seen), _tried_in_a_call(seen)
    service = _missed_service(seen)
    tool, in_itself = _tool_with_port_of(service, seen), _in_itself(service, seen)
    somebody, login = wants_somebody(seen) or wants_login(seen), report["login"] or report["browser"]
    reasons: list[tuple[object, str]] = [  # the strongest first
        (has_browser and not (talks and asks), "it opens in a browser what it is asked to open"),
        (variables, f"it asks what {variables} says{UNLESS_INSIDE}"),
        (in_a_call, in_a_call),
        (hosts and not report["started"] and _died_of_the_network(seen, hosts), f"it did not start without {first}"),
        (tool, f"its tool {tool} goes to what it is given"),
        (service, in_itself),
        (wants_an_engine(seen), f"it wants a Docker engine, which is elsewhere{UNLESS_INSIDE}"),
        (addresses, f"it asks what {', '.join(addresses)} says{UNLESS_INSIDE}"),
        (asks and (talks or is_unproved or somebody), f"its code asks {asks}"),
        (talks, f"it has a key or an address of somebody{UNLESS_INSIDE}"),
        (somebody, "its calls want an account or a key, so it talks to somebody"),
        (
            keys and not (uncalled <= 0 and any(map(_works, report["calls"]))),
            f"it may be given keys or addresses, so it talks to somebody{UNLESS_INSIDE}",
        ),
        (login, f"its README logs in somewhere: {login}"),
        (hosts and (uncalled > 0 or not report["tools"]), f"at its start it tries {first}{rest}"),
    ]
    if why := next((why for holds, why in reasons if holds), ""):
        return Egress(True, why, () if why == in_itself else hosts)
    if not report["started"]:
        return Egress(bool(asks), "it did not start, " + (f"its code asks {asks}" if asks else "and did not try to reach anything"))
    return Egress(False, _tried_nothing(seen, hosts, keys), hosts)


def _told_by_variables(seen: Seen) -> str:
    found = filter(None, (OF_A_VARIABLE.match(reach.what) for reach in seen.reached))
    return ", ".join(dict.fromkeys(one[1].upper().replace("-", "_") for one in found))


def _tried_in_a_call(seen: Seen) -> str:
    asking = [(call, host) for call in seen.report["calls"] for host in _needed(seen, call)]
    by_itself = (f"its tool {call['tool']} tried {host}" for call, host in asking if host not in {GUESSED, *_given(seen, call)})
    as_told = (f"its tool {call['tool']} goes to what it is given" for call, _ in asking)
    return next(by_itself, "") or next(as_told, "")


def _missed_service(seen: Seen) -> str:
    """The one in its own container that it looked for, but in calls that were answered without."""
    answered = [call for call in seen.report["calls"] if _works(call) and _is_an_answer(call["answer"])]
    missed = [one for one in seen.reached if not any(call["began"] <= one.at <= call["ended"] for call in answered)]
    return back_end(replace(seen, reached=missed))


def _tool_with_port_of(service: str, seen: Seen) -> str:
    port = re.compile(rf"\"default\": (?:\"[^\"]*:)?{service.rpartition(':')[2]}\b")  # of an argument
    return next((one["name"] for one in seen.report["tools"] if service and port.search(json.dumps(one.get("inputSchema")))), "")


def _in_itself(service: str, seen: Seen) -> str:
    where = ", ".join([name for name in seen.report["reads"] if OF_A_SERVICE.search(name)][:5])
    told = f": tell it where that is (its code reads {where})" if where else ""
    return f"it looks for a service at {service}, which in a container is itself{told}"


def _tried_nothing(seen: Seen, hosts: Collection[str], keys: str) -> str:
    calls, absent = seen.report["calls"], programs(seen)
    called = f"{len(calls)} of its {len(seen.report['tools'])} tools were called, and none tried to reach anything"
    tells = any(_works(call) and not (absent and _says_nothing(call)) for call in calls)
    is_guessed = calls and not absent and all(map(complains_of_a_guess, calls))
    failed = ", but all failed" + (f" without {', '.join(absent[:3])}" if absent else "") if calls else ""
    doubt = "" if tells or is_guessed else f"{failed}: true if they reach beyond the fleet's own network"
    doubt = f"; true if {keys} is for somebody beyond" if keys else doubt
    tried = f"; at its start it tries {next(iter(hosts), '')}, and works without" if hosts else doubt
    return f"{called if calls else 'none of its tools was called'}{tried}"


def complains_of_a_guess(call: Made) -> bool:
    """Whether it names the path or the word that it was given, for want of a better."""
    guesses = re.escape(ANYTHING) if not call["said"] and f'"{ANYTHING}"' in json.dumps(call["arguments"]) else NOTHING.pattern
    return bool(A_GUESSED_PATH.search(call["complaint"]) or re.search(rf"\b{guesses}\b", call["complaint"]))


def reached(seen: Seen, since: float = 0.0, until: float = inf) -> list[str]:
    """Whom it tried to reach beyond its own container and what stood in for an operator's addresses. Not whom it only asks what is newer."""
    return [host for host in _between(seen, since, until) if not _asks_what_is_newer(seen, host)]


def _asks_what_is_newer(seen: Seen, host: str) -> bool:
    """Whether it is asked for releases by one that started without, and by no call alone that failed of it or is to install something."""
    if not (seen.report["started"] and NEWER.search(host)):
        return False
    calls = [call for call in seen.report["calls"] if not (INSTALLS.search(call["tool"]) or UPDATES.search(call["tool"]))]
    asked_by = [(call, hosts) for call in calls if host in (hosts := _between(seen, call["began"], call["ended"]))]
    return all(len(hosts) > 1 or (call["complaint"] and not NO_NETWORK.search(call["complaint"])) for call, hosts in asked_by)


def _between(seen: Seen, since: float, until: float) -> list[str]:
    return list(dict.fromkeys(host for reach in seen.reached if since <= reach.at <= until and (host := _host(reach.what))))


def asked(seen: Seen, call: Made) -> list[str]:
    """Whom that call tried to reach, beyond its own container."""
    return reached(seen, call["began"], call["ended"])


def _needed(seen: Seen, call: Made) -> list[str]:
    """Whom a call tried to reach. Telemetry counts where the call failed, and nobody else was tried: then it is what the server is for."""
    return asked(seen, call) or (
        [
            host
            for reach in seen.reached
            if call["began"] <= reach.at <= call["ended"] and (host := _host(reach.what, True)) and not _asks_what_is_newer(seen, host)
        ]
        if NO_NETWORK.search(call["complaint"])
        else []
    )


def _given(seen: Seen, call: Made) -> set[str]:
    """The hosts of the addresses that a call was given, but for those that its code has; and those that it made of what it was given."""
    words = {one.lower() for one in call["arguments"].values() if isinstance(one, str)} if not call["said"] else set()
    made = {host for host in asked(seen, call) if words & {host, *host.split(".")}}
    return made | {*re.findall(r"https?://([\w.-]+)", json.dumps(call["arguments"]))} - {*seen.report["speaks_to"]}


def _goes_where_it_is_told(seen: Seen, call: Made) -> bool:
    """Or did not: an address that it refused was none of those that it would ask."""
    given, went = _given(seen, call), asked(seen, call)
    return bool(given.intersection(went) or (given and call["complaint"] and not went))


def names(seen: Iterable[Seen]) -> list[str]:
    """What a list of names would have to hold for what was seen, as far as a list can hold it; nothing for one that goes wherever it is told."""
    seen, found = list(seen), dict[str, None]()
    if any(_host(reach.what) == GUESSED for one in seen for reach in one.reached):
        return []
    if any(uses_placeholder(one) or any(_goes_where_it_is_told(one, call) for call in one.report["calls"]) for one in seen):
        return []
    for reach in (reach for one in seen for reach in one.reached if _host(reach.what)):
        port = reach.what.rpartition(":")[2] if ":" in reach.what else ""
        entry = OF_OPERATORS.sub("*.", reach.what) if port.isdecimal() and int(port) not in PORTS else _host(reach.what)
        with suppress(ValueError):
            allowed([entry.lower()])
            found[entry.lower()] = None
    asked_for = [entry for entry in found if not any(_asks_what_is_newer(one, entry) for one in seen)]
    is_seen = any(asked(one, call) for one in seen for call in one.report["calls"]) or not any(one.report["started"] for one in seen)
    return asked_for if is_seen and not all(map(A_LOGIN.match, asked_for)) else []  # of a login, whom it asks with that was not seen


def _died_of_the_network(seen: Seen, hosts: Collection[str]) -> bool:
    """Whether its end speaks of it, or it waited: what it tried on its way to another end was not the reason."""
    said = " ".join([seen.report["why_not"], *seen.report["words"]])
    return bool(NO_NETWORK.search(said)) or NO_ANSWER in said or any(host in said for host in hosts)


def _host(what: str, telemetry: bool = False) -> str:
    """The host of somebody beyond; empty for the container itself, for whoever listens in its own network, for where clouds tell their
    machines who they are, and for telemetry unless that is asked for."""
    host = what.rpartition(":")[0].strip("[]") or what
    try:
        address = ip_address(host)
    except ValueError:
        own = host == "localhost" or "." not in host or host.endswith((".arpa", ".local", ".internal", PLACEHOLDER))
        inside = own or (not telemetry and bool(TELEMETRY.search(host)))
    else:
        inside = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified or address in SHARED
    return "" if inside else OF_OPERATORS.sub("*.", host)


def asks_somebody(seen: Seen, call: Made) -> bool:
    """Whether that call tried to reach anybody, also what was given in the place of a real address."""
    during = [reach for reach in seen.reached if call["began"] <= reach.at <= call["ended"]]
    return bool(asked(seen, call)) or uses_placeholder(replace(seen, reached=during))


def back_end(seen: Seen, since: float = 0.0, until: float = inf) -> str:
    """The service that it looked for in its own container, where nobody answered."""
    return next((one.what for one in seen.reached if since <= one.at <= until and one.what.startswith(ON_ITSELF)), "")


def uses_placeholder(seen: Seen) -> bool:
    """Whether it tried to reach what was given to it in the place of a real address."""
    return any(PLACEHOLDER in reach.what for reach in seen.reached)


def _works(call: Made) -> bool:
    return not call["complaint"]


# ---- the smoke call --------------------------------------------------------------------


def smoke(closed: Seen, opened: Seen | None, alone: bool) -> dict[str, Any] | None:
    """A call that was made and that worked: without network if there is one, else with. `alone`: it needs nothing that a build has not."""
    # What is said to a guess, and an answer of nothing, may be a polite refusal, where others of its calls ask somebody.
    asks = any(_needed(closed, call) for call in closed.report["calls"])
    fit = [call for call in closed.report["calls"] if _works(call) and _is_harmless(closed, call)]
    fit = [call for call in fit if not asks or (call["said"] and not _says_nothing(call))]
    if fit:
        is_alike = _alike(closed)
        return _proposed(min(fit, key=lambda call: (is_alike(call), *_tells_little(call)))) | {"build": alone}
    if opened:
        for call in opened.report["calls"]:
            if _works(call) and call["reads"] and _answered(opened, call):
                return _proposed(call) | {"build": False, "internet": True}
    return None


def smoke_without(closed: Seen, bare: Seen, alone: bool) -> dict[str, Any] | None:
    """The same where it needs values that nobody gave yet: a call that is answered alike without them (`bare`), and asks nobody."""
    alike = {(call["tool"], call["answer"]) for call in bare.report["calls"] if _works(call) and _is_an_answer(call["answer"])}
    calls = [call for call in closed.report["calls"] if call["said"] and call["reads"] and (call["tool"], call["answer"]) in alike]
    return smoke(replace(closed, report=closed.report | {"calls": [call for call in calls if not _says_nothing(call)]}), None, alone)


def says_nothing(closed: Seen, smoke: Mapping[str, Any]) -> str:
    """How that call was answered, if with nothing: an empty list, {"devices": []}, a ping, that nobody is there, or what others are."""
    calls = [call for call in closed.report["calls"] if _works(call) and call["tool"] == smoke["tool"]]
    if any(map(_alike(closed), calls)):
        return "in the words in which others of its calls are answered, too"
    call = next(filter(_says_nothing, calls), None)
    if call is None:
        return ""
    return f"which says: {' '.join(call['answer'].split())[:80]}" if _is_refused(call) else "with nothing in its answer"


def _alike(closed: Seen) -> Callable[[Made], bool]:
    """Whether a call is answered as several others are: by a stub, say, or with a refusal."""
    answers = Counter(call["answer"] for call in closed.report["calls"] if _works(call))
    return lambda call: bool(call["answer"]) and answers[call["answer"]] > 2


def _tells_little(call: Made) -> tuple[bool, ...]:
    """Whether it refuses a guess, says nothing, only that it lives, or prints an error beside what it answers: the worst comes first."""
    only_lives = ONLY_LIVES.search(with_underscores(call["tool"]))
    return _is_refused(call), _says_nothing(call), bool(only_lives), bool(PRINTS_AN_ERROR.search(call["printed"]))


def _says_nothing(call: Made) -> bool:
    if _is_refused(call):
        return True
    try:
        return bool(re.search(r"(^|_)ping(_|$)", call["tool"])) or _is_nothing(json.loads(call["answer"]))
    except ValueError:
        return bool(NONE_THERE.match(call["answer"]))


def _is_refused(call: Made) -> bool:
    """In so few words that they are no answer that speaks of such a thing."""
    answer = call["answer"]
    return len(answer) < FEW_WORDS and bool(NOT_THERE.search(answer) or (not call["said"] and NO_SUCH.search(answer)))


def _is_nothing(said: Any, beside_an_empty_one: bool = False) -> bool:
    """Null, false, what holds only that, and a count of 0 or a `success: true` beside an empty list."""
    if not isinstance(said, dict | list):
        return said is None or said is False or (beside_an_empty_one and (said is True or not said))
    every = list(said.values() if isinstance(said, dict) else said)
    return all(_is_nothing(one, [] in every or {} in every) for one in every)


def asks_nobody(closed: Seen, smoke: Mapping[str, Any]) -> bool:
    """Whether most other calls ask somebody or fail, so that the one that worked says little of what it is for."""
    others = [call for call in closed.report["calls"] if call["tool"] != smoke["tool"]]
    kept_from = [call for call in others if call["complaint"] or _needed(closed, call)]
    return 2 * len(kept_from) > len(others) and any(_needed(closed, call) or NO_KEY.search(call["complaint"]) for call in kept_from)


def _is_an_answer(text: str) -> bool:
    return len(text.strip()) > len("{}") and not (NO_NETWORK.search(text) or POLITELY_NOT.search(text))


def worth_a_try(closed: Seen) -> list[dict[str, Any]]:
    """The calls that may be made with the network: those that only read."""
    return [
        asdict(Call(call["tool"], call["arguments"], call["reads"], call["said"], call["harms"]))
        for call in closed.report["calls"]
        if call["reads"]
    ][:5]


def unproved(closed: Seen) -> tuple[dict[str, Any] | None, str]:
    """The call that would be proposed if it had worked, and whom it asked: the most harmless by its name, one that asked somebody by itself before others,
    with as few arguments as may be. None if there is none that only reads."""
    every = [(call, {GUESSED, *_given(closed, call)}) for call in closed.report["calls"] if call["reads"]]
    reading = [(call, [host for host in asked(closed, call) if host not in given]) for call, given in every]

    def worst_last(one: tuple[Made, list[str]]) -> tuple[bool | int, ...]:
        call, hosts = one
        return bool(CHANGES.search(with_underscores(call["tool"]))), not hosts, not call["said"], len(call["arguments"])

    call, hosts = min(reading, key=worst_last, default=(None, []))
    return _proposed(call) if call else None, next(iter(hosts), "")


def _is_harmless(seen: Seen, call: Made) -> bool:
    """It says that it only reads, or it was seen to do nothing: no file written, nobody reached for."""
    during = (seen, call["began"], call["ended"])
    if call["harms"] or reached(*during) or back_end(*during):
        return False
    name = with_underscores(call["tool"])
    is_of_files = any(map(PATH.search, names_in(call["arguments"])))  # it may well write where there is what it was asked to change
    return call["reads"] or not (call["wrote"] or is_of_files or CHANGES.search(name) or TELLS_TOO_MUCH.search(name))


def _answered(seen: Seen, call: Made) -> bool:
    return any(reach.connected for reach in seen.reached if call["began"] <= reach.at <= call["ended"])


def is_cut_off(opened: Seen | None) -> bool:
    """Whether nothing could be reached although all of the internet was allowed: this machine has none."""
    return opened is not None and not any(reach.connected for reach in opened.reached)


def _proposed(call: Made) -> dict[str, Any]:
    return {"tool": call["tool"]} | ({"arguments": call["arguments"]} if call["arguments"] else {})


# ---- paths -----------------------------------------------------------------------------


def paths(seen: Seen) -> str:
    """An argument of a tool that names a file or a folder of where it runs, with the tool: one that it was seen to look at, else one of which words say
    it surely; not one that it was seen not to look at, or to refuse."""
    looked = seen.report["looked"]
    surely = (one for one in arguments.paths(seen.report["tools"], surely=True) if looked.get(one) is None)
    return next((one for one, has_looked in looked.items() if has_looked), next(surely, ""))


# ---- storage ---------------------------------------------------------------------------


def storage(seen: Seen, volumes: Iterable[str] = ()) -> Storage:
    """What it wrote into memory, and where it was not allowed to write. `volumes`: what is kept already."""
    report, kept = seen.report, tuple(volumes)
    has_network = any(reach.connected for reach in seen.reached)  # without, what is in a cache was made here, and can be again
    events = [(AT_START, report["wrote"]), *((call["tool"], call["wrote"]) for call in report["calls"])]
    lost = [
        (who, path)
        for who, wrote in events
        for path, size in wrote
        if path.startswith((f"{OWN_HOME}/", f"{OWN_CWD}/"))
        and not path.startswith(tuple(f"{place}/" for place in kept))
        and not (who == AT_START and path.startswith(OWN_HOME) and path.endswith("/") and not OF_ITS_OWN.search(path))
        and ((size > SMALL and has_network) or not CACHES.search(path.rstrip("/").removeprefix("/tmp/")))
    ]
    denied = [path for path in _denied(report) if not path.startswith(tuple(f"{place}/" for place in kept)) and path not in kept]
    places = tuple(dict.fromkeys(filter(None, map(place_of, denied))))
    needless = NOTHING if _ended(report) else CACHES
    inside = next((path for path in denied if path.startswith("/opt/server/") and not needless.search(path)), "")
    unpacks = not report["started"] and any(UNPACKED.search(line) for line in report["words"])
    if unpacks and OWN_HOME not in kept:
        return Storage(home=True, why="what it unpacks in its home is to be executed, which /tmp does not allow")
    lost.sort(key=lambda one: one[1].endswith("/"))  # a file says more of what is kept than a folder
    why = f"{lost[0][0]} wrote {_shown(lost[0][1])}" if lost else f"it wants to write to {denied[0]}" if places else ""
    return Storage(
        any(path.startswith(f"{OWN_HOME}/") for _, path in lost),
        any(path.startswith(f"{OWN_CWD}/") for _, path in lost),
        places,
        why.replace("at its start wrote", "at its start it wrote"),
        inside,
    )


def _ended(report: Report) -> bool:
    """Whether it did not start, or ended soon after."""
    return not report["started"] or any(call["complaint"] == ENDED for call in report["calls"])


def place_of(path: str) -> str:
    """The folder that a volume is to be mounted on so that `path` can be written; empty where none should be."""
    parts = PurePosixPath(path).parts
    if path.endswith(".sock") or path.startswith("/var/run/"):
        return ""
    if not path.startswith("/") or len(parts) < 2 or any(path == top or path.startswith(f"{top}/") for top in SYSTEM):
        return ""
    if parts[1] not in ("home", "root", "var", "srv", "mnt", "media", "Users"):
        return f"/{parts[1]}"
    return str(PurePosixPath(path) if not PurePosixPath(path).suffix else PurePosixPath(path).parent) if len(parts) > 2 else ""


def _denied(report: Report) -> list[str]:
    texts = [report["why_not"], *report["words"], *(call["complaint"] for call in report["calls"])]
    lines = [line for text in texts for line in text.splitlines() if "chmod" not in line]  # by which nothing is written
    return list(dict.fromkeys(found[1] or found[2] for line in lines for found in DENIED.finditer(line)))


def _shown(path: str) -> str:
    return path.replace(OWN_HOME, "~", 1).replace(OWN_CWD, ".", 1)
