"""What a stanza takes from what the publisher of a package says of its variables. Pure: a draft and what was read in, a draft out.

What is needed becomes a required secret, a variable of compose/.env or a place in a volume; of the rest only its own keys are named, and what
belongs to them. A value that everybody may keep is not set.
"""

import re
from collections.abc import Collection
from dataclasses import replace

from bridge.fleet.adding.draft import PLAIN, Draft, holds_secret, is_blank, is_secret
from bridge.fleet.adding.key_files import A_KEYS_FILE, is_path_of_keys
from bridge.fleet.adding.mends import (
    BESIDE_A_KEY,
    DATA,
    LISTENS,
    MOST_KEYS,
    NOT_FOR_IT,
    OF_A_PROGRAM,
    OWN_DOOR,
    SURELY_A_PLACE,
    TRANSPORT,
    called_like,
    own_place,
    with_places,
    without,
)
from bridge.fleet.adding.sdks import SDKS
from bridge.fleet.adding.secrecy import reveals
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.adding.trial.needs import ADDRESS, all_of
from bridge.fleet.adding.trial.package_files import ON_ITSELF
from bridge.fleet.adding.trial.published import Variable
from bridge.fleet.parts import VARIABLE
from bridge.fleet.targets.sidecar import HOST

SWITCH = re.compile(
    r"(^|_)(ALLOW|DISABLE|ENABLE|ENABLED|TRANSPORT|SKIP|FORCE|READ_?ONLY|MODE|LEVEL|REQUIRE|REQUIRED|TIMEOUT(_MS)?|VERBOSE|INSECURE|VERIFY_SSL)(_|$)"
)
OF_THE_PROCESS = re.compile(
    r"(^|_)(MAX|MIN|LIMIT|COUNT|SIZE|RETRIES|RETRY|DELAY|INTERVAL|TTL|SECONDS|MS|RATE|CACHE|CACHED|CONCURRENCY|DIR|PATH|FILE|FOLDER|ROOT|PROFILE|LOG\w*|FORMAT|NODE|OPTS|PORT|FEATURES?|DRY|STRICT|USE|SAFE|BATCH|POOL|BUFFER|WINDOW|EXPIRY|WORKERS?|THREADS?)(_|$)|^(MCP_SERVER|OAUTH|SENTRY|CORS|NO|INFORMATION)_|_LOST$"
)
# How it trusts the service that it is a client of, which in a house has a certificate of its own.
TRUSTS = re.compile(
    r"(VERIFY|TRUST(?!_PROXY)|IGNORE|REJECT|INSECURE|SKIP)\w*_(SSL|TLS|CERT)|(SSL|TLS|CERT)\w*_(VERIFY|REJECT)|(^|_)(SSL_CA|CA_CERTS?|CA_FILE|CA_PATH|CA_BUNDLE)(_|$)"
)
# What it may do, or which of its tools there are; not what else is on or off.
KEEPS_FROM = re.compile(
    r"^(?!.*_(?:TIMEOUT|MS|SIZE|LIMIT|EMAIL|USER|USERNAME|ID|NAME|PORT|HOSTS?|IPS?|URLS?|ORIGINS?|HEADERS?|PATHS?|DIRS?|FILE)$).*?(?:"
    r"(^|_)(READ_?ONLY|WRITES?|WRITABLE|ALLOW\w*|DISALLOW\w*|DENY|DENIED|BLOCK(ED)?|ACCESS_(MODE|LEVEL)|DESTRUCTIVE|DELETES?|DROP|ADMIN|DANGEROUS|SAFE(_MODE)?)(_|$)"
    r"|(^|_)(EN|DIS|EX|IN)(ABLED?|CLUDED?)_(\w+_)?(TOOLS?|TOOLSETS?|COMMANDS?|OPERATIONS?)$|(^|_)(TOOLS?|COMMANDS?|OPERATIONS?)_(EN|DIS)ABLED?$)"
)
WHOM = re.compile(r"(^|_)(SANDBOX|PRODUCTION|TEST_?MODE|TEST_?NET|DEMO)(_|$)")  # of two services of the same kind it talks to
OF_ITS_TOOLS = re.compile(r"(^|_)(TOOLS?|TOOLSETS?|TOOL_GROUPS?|CATEGORIES)$")  # which there are: whoever wants others looks for that
OF_AN_API = re.compile(r"(?<!MCP)_(HTTP|API|URL)_PATH$")  # what stands behind the host of an address
EVERYWHERE = {"0.0.0.0", "::"}  # where who has that for a host waits for others
OF_AN_API_HOST = re.compile(r"https?://(?!\S*(?:test|sandbox|demo|staging))(?:[\w-]+[.-])*api[.-]", re.IGNORECASE)
A_FILES_PATH = re.compile(r"(~|\.{0,2}/|[A-Za-z]:\\)[^:]*\.(json|pem|key|p8|p12|pfx|ya?ml)$")
A_FILE = re.compile(rf"{A_KEYS_FILE.pattern}|(^|_)KUBECONFIG$")
OF_A_CHOICE = re.compile(r"(^|_)(TYPE|DIALECT|DRIVER|ENGINE|PROVIDER|BACKEND)$")
HAS_A_PASSWORD = re.compile(r"\b(?:password|passwd|pwd|secret|token)\W{0,4}[:=]", re.IGNORECASE)
MORE = re.compile(r"(^|_)(CUSTOM|EXTRA|ADDITIONAL)_|(^|_)PROXY(_(UR[IL]|HOST|PORT|SERVER|ADDRESS|USER|USERNAME|PASS|PASSWORD|AUTH))?$")
ON_A_DESK = re.compile(r"/Applications/|Program Files|\.(?:exe|dylib|dll|so|app)$|/bin/", re.IGNORECASE)
A_PLACE = re.compile(r"^~?/\w|^[A-Z]:\\|\bpath[-_ ]to\b|^<[^<>]*\b(path|folder|directory)\b[^<>]*>$", re.IGNORECASE)
ITS_FILE = re.compile(r"[\w-]+\.[a-z]\w{1,5}$", re.ASCII)
FOLDERS = re.compile(r"DIR|FOLDER|VAULT|ROOT")
A_PERSONS = re.compile(r"(^|_)(USER|USERNAME|EMAIL|LOGIN|HOST|HOSTNAME|ORG|TENANT|ACCOUNT(_ID)?|CLIENT_ID|DB|DATABASE)$")
ONE_OF_A_KIND = re.compile(r"_(PRO|DEMO|FREE|TEST|SANDBOX|LIVE|PROD|PRODUCTION|DEV|DEVELOPMENT|STAGING)(?=_)")
ONLY_OPERATORS_KNOW = re.compile(
    r"your|votre|example|\.local\b|<|\.\.\.|xxx|abc|xyz|12345|\bdemo\b|\bfoo|\bmy\w+|\bmy[-_]|company|acme|insert|input:|path/to|[@$]|\w \w+ \w",
    re.IGNORECASE,
)
A_PUBLIC_URL = re.compile(r"https?://[\w.-]+\.[a-z]{2,}(?::\d+)?(?:/[\w./~-]*)?", re.ASCII)
# What is switched on of what there is, or allowed: without a word of a default it is nothing.
A_LIST = re.compile(r"""\[\s*"[a-z][a-z_*-]+"(?:,\s*"[a-z][a-z_*-]+")+\s*\]|[a-z][a-z_*-]+(?:,\s?[a-z][a-z_*-]+)+""")
OFF = re.compile(r"(^|_)(DISABLED?|EXCLUDED?|SKIP|DENY|DENIED|BLOCK|BLOCKED|IGNORED?)(_|$)")
OF_A_DESK = {name for sdk in SDKS for name in sdk.on_a_desk}
MOST_SERVICES = 2  # whose keys one server needs at once


def with_published(draft: Draft, seen: Seen) -> Draft:
    """The variables that its publisher would have an operator set."""
    all_names = {*draft.env, *draft.secrets, *(one["name"] for one in seen.report["published"])}
    every = [one for one in seen.report["published"] if _is_for_operators_of_it(one, draft, seen, all_names)]
    keys = _keys(draft, seen, every)
    firsts = {_first_word(one) for one in keys} or {_first_word(one) for one in every if one["first"] and one["needed"]}
    offered = [one for one in every if one not in keys and _may_be_set(one, seen, firsts, all_names)]
    needed = _needed(every, keys)
    settings = [one for one in every if one["name"] in needed and not _is_key(one) and (not SWITCH.search(one["name"]) or _is_list(one))]
    plain = {one["name"]: value for one in settings if (value := _value(one, draft.name))}
    optional = [one["name"] for one in keys if one["name"] not in needed] + [one["name"] for one in offered if one["name"] not in plain]
    secrets = (*draft.secrets, *(one["name"] for one in keys if one["name"] in needed), *optional)
    maybe = [*keys, *(one for one in offered if TRUSTS.search(one["name"]) or A_FILE.search(one["name"]))]
    as_files = (*draft.as_files, *(one["name"] for one in maybe if _is_file(one)))
    given = [one for one in every if one["name"] in plain]
    better = replace(draft, secrets=secrets, optional=(*draft.optional, *optional), as_files=as_files, env=draft.env | plain)
    better = _because(with_places(better), "here", _is_said_of_what_is_here(given))
    better = _with_ways(every, better)
    better = _because(better, "instead", _is_said_of_choices([one["name"] for one in keys if one["one_of"]], all_names))
    better = _because(better, "program", _is_said_of_programs(given))
    places = ", ".join(name for name, value in plain.items() if value.startswith("/"))
    kept = f"its publisher sets {places}: kept, not lost at the next start"
    return _because(better, "volumes", kept if better.volumes != draft.volumes else "")


def _because(draft: Draft, what: str, why: str) -> Draft:
    return replace(draft, why=draft.why | {what: why}) if why else draft


def _is_for_operators_of_it(one: Variable, draft: Draft, seen: Seen, all_names: Collection[str]) -> bool:
    """Of which not only its code knows, and which is no other way for what is there, and nobody else's."""
    name, published = one["name"], seen.report["published"]
    is_told = one["needed"] is not False or one["said"] or one["shown"] or one["one_of"]
    if not (is_told and VARIABLE.fullmatch(name)) or name.upper() in map(str.upper, (*draft.env, *draft.secrets)):
        return False
    is_a_key = one["first"] and one["needed"] is not False and _stands_for_a_key(one["value"])
    if _is_of_others(name) and not (TRUSTS.search(name) or is_a_key):
        return False
    if name.endswith("_FILE") and name.removesuffix("_FILE") in all_names:  # beside NAME
        return False
    listens = {_first_part(other["name"]) for other in published if {other["value"], other["default"]} & EVERYWHERE}
    if name.endswith(("_HOST", "_PORT")) and _first_part(name) in listens:
        return False
    has_another_name = name in OF_A_DESK or any(key.startswith(f"{_first_word(one)}_") for key in draft.secrets)  # or there is no such SDK
    return not (name in seen.report["misspelt"] and has_another_name)


def _needed(every: list[Variable], keys: list[Variable]) -> set[str]:
    if len({_first_word(one) for one in keys if one["needed"]}) > MOST_SERVICES:  # who shows keys of so many shows what there is
        return set()
    wanted = [one["name"] for one in every if (one["needed"] and not _has_a_default(one)) or _would_find_itself(one)]
    needed = {name for name in wanted if not MORE.search(name)}
    kinds = [ONE_OF_A_KIND.sub("", name) for name in needed]
    return {name for name in needed if not ONE_OF_A_KIND.search(name) or kinds.count(ONE_OF_A_KIND.sub("", name)) < 2}


def _is_file(one: Variable) -> bool:
    is_told = one["path"] == "file" or A_FILES_PATH.match(one["value"]) or A_FILE.search(one["name"])
    return bool(is_told or (TRUSTS.search(one["name"]) and is_path_of_keys(one["name"], "")))


def _is_said_of_what_is_here(given: list[Variable]) -> str:
    here = ", ".join(f"{one['name']} ({one['default'] or one['value']})" for one in given if _would_find_itself(one))
    return f"what its README shows for {here} is its own container: this machine is {HOST}" if here else ""


def _is_said_of_choices(choices: list[str], all_names: Collection[str]) -> str:
    named = ", ".join(_with_its_user(name, all_names) for name in choices)
    return f"by its README one of these is enough, and one is needed: {named}" if len(choices) > 1 else ""


def _is_said_of_programs(given: list[Variable]) -> str:
    programs = ", ".join(one["name"] for one in given if _is_program(one))
    way_out = "`apt` or a volume brings one, or let it run where that is, behind `mcp-bridge serve`"
    return f"{programs} is where a program or a library of it is installed, and its image has none: {way_out}" if programs else ""


def besides(draft: Draft, seen: Seen) -> list[str]:
    """The settings that its README names, that its code reads and the stanza has not, and that keep something from somebody."""
    fit = [name for name in seen.report["documented"] if KEEPS_FROM.search(name) and name not in {*draft.env, *draft.secrets}]
    return [name for name in fit if not (holds_secret(name) or _is_of_others(name) or TRANSPORT.search(name))]


def _keys(draft: Draft, seen: Seen, every: list[Variable]) -> list[Variable]:
    """Those that configurations show, and those of the same service that are only told; without any shown, its own."""
    shown = [one for one in every if one["shown"] and _is_key(one)]
    firsts = {_first_word(one) for one in shown}
    told = [
        one
        for one in every
        if not one["shown"]
        and _is_key(one)
        and (
            one["one_of"] or _first_word(one) in firsts
            if firsts
            else one["needed"] or one["name"] in seen.report["reads"] or called_like(draft, one["name"])
        )
        and one["name"].lower() not in {key["name"].lower() for key in shown}
    ]
    return shown + told[:MOST_KEYS]


def _with_ways(every: list[Variable], draft: Draft) -> Draft:
    """With demanded keys, and what goes with them, optional where other configurations have others in their place: an operator has one of these."""
    there = {*draft.secrets, *draft.env} - {*draft.optional}
    keys = {name for name in draft.secrets if holds_secret(name) or name in draft.as_files}
    maybe = [name for name in draft.optional if name in keys or (BESIDE_A_KEY.search(name) and not ADDRESS.search(name))]
    found = {one["name"]: [[name for name in way if name in maybe] for way in one["instead"]] for one in every if one["name"] in there}
    found = {name: others for name, ways in found.items() if (others := [way for way in ways if keys & {*way}])}
    if not keys & {*found}:
        return draft
    every_way = dict.fromkeys(map(all_of, ([*found], *(way for ways in found.values() for way in ways))))
    about = f"by its README one of these is enough: {', or '.join(every_way)}"
    better = without(draft, [*found])
    files = tuple(name for name in draft.as_files if name in found)
    return replace(
        better,
        secrets=(*found, *better.secrets),
        optional=(*found, *better.optional),
        as_files=(*better.as_files, *files),
        why=draft.why | {"instead": about},
    )


def _first_part(name: str) -> str:
    return name.rpartition("_")[0]


def _first_word(one: Variable) -> str:
    return one["name"].partition("_")[0]


def _is_key(one: Variable) -> bool:
    value = (one["value"] or one["default"]).lower()
    is_no_key = (
        value in ("true", "false")
        or (one["name"].endswith("_TOKENS") and value.isdecimal())
        or (value.startswith(("sqlite:", "file:")) and not one["needed"])
    )
    is_file = A_KEYS_FILE.search(one["name"]) or (one["path"] == "file" and "CLIENT_CERT" in one["name"])  # which goes with a key
    is_told = holds_secret(one["name"]) or _stands_for_a_key(value) or HAS_A_PASSWORD.search(value)
    return not is_no_key and bool(is_told or is_file)


def _stands_for_a_key(value: str) -> bool:
    """<your session cookie>, your-token-here"""
    words = re.sub(r"\W+", "_", value.lower().removesuffix("here")).strip("_")
    return is_blank(value) and is_secret(words)


def _with_its_user(name: str, known: Collection[str]) -> str:
    """A password is of no use without whose it is: SITE_PASSWORD with SITE_USERNAME."""
    first = re.sub("PASS(WORD|WD)?$", "", name)
    user = next((f"{first}{one}" for one in ("USERNAME", "USER", "LOGIN") if f"{first}{one}" in known), "") if first != name else ""
    return f"{name} with {user}" if user else name


def _is_of_others(name: str) -> bool:
    if OF_AN_API.search(name):
        return False
    return bool(OWN_DOOR.search(name) or LISTENS.search(re.sub("(^|_)MCP_", r"\1", name)) or NOT_FOR_IT.search(name))


def _may_be_set(one: Variable, seen: Seen, firsts: Collection[str], all_names: Collection[str]) -> bool:
    """What its publisher shows or explains and its code reads, that only an operator could say: who is elsewhere has another site or address."""
    name, is_of_it = one["name"], _first_word(one) in firsts
    is_beside = is_of_it and bool(BESIDE_A_KEY.search(f"_{name}"))
    if not (one["shown"] or is_beside or name in seen.report["reads"]):
        return False
    if TRUSTS.search(name):
        return is_of_it and not one["needed"]
    if name.endswith("_PORT") and name.removesuffix("PORT") + "HOST" in all_names:
        return is_of_it
    if one["first"] and WHOM.search(name):
        return is_of_it
    if SWITCH.search(name) or one["value"].lower() in ("true", "false"):
        first = re.sub("(?<=_)ENABLED?$", "", name)  # what begins so does nothing without
        others = [one for one in all_names if one.startswith(first) and (holds_secret(one) or BESIDE_A_KEY.search(one))]
        is_of_all = any(other["needed"] and other["name"].startswith(first) for other in seen.report["published"])
        return first != name and not is_of_all and len(others) > 1
    if A_PUBLIC_URL.fullmatch(one["default"]):  # somebody may have a site of his own, and nobody another API
        return (
            (is_of_it or one["first"])
            and bool(BESIDE_A_KEY.search(f"_{name}"))
            and ((one["shown"] and one["value"] != one["default"]) or not OF_AN_API_HOST.match(one["default"]))
        )
    if is_beside or (one["first"] and one["value"] and _is_for_operators(one["value"])):
        return True
    is_its_own = (not one["default"] or OF_ITS_TOOLS.search(name)) and (is_of_it or one["shown"] or not firsts)
    return bool(is_its_own or (OF_A_CHOICE.search(name) and (is_of_it or name.endswith("PROVIDER")))) and not OF_THE_PROCESS.search(name)


def _has_a_default(one: Variable) -> bool:
    """What everybody starts with, as the names of accounts in a new database are."""
    return not (_is_for_operators(one["default"]) or _is_key(one) or SURELY_A_PLACE.search(one["name"]))


def _would_find_itself(one: Variable) -> bool:
    """An address that everybody sets, and that would be that of the container itself where nobody does."""
    address = one["default"] or one["value"]
    return one["first"] and bool(BESIDE_A_KEY.search(one["name"])) and is_here(address)


def is_here(address: str) -> bool:
    return bool(ON_ITSELF.search(address))


def _is_list(one: Variable) -> bool:
    """What everybody switches on or allows, and nobody says what is so where it is left out."""
    return one["first"] and not (one["default"] or OFF.search(one["name"])) and bool(A_LIST.fullmatch(one["value"]))


def _is_program(one: Variable) -> bool:
    """The path of something that is installed on a desk."""
    return one["path"] == "program" or bool(OF_A_PROGRAM.search(one["name"])) or bool(ON_A_DESK.search(one["value"]))


def _is_for_operators(value: str) -> bool:
    return not value or is_blank(value) or bool(ONLY_OPERATORS_KNOW.search(value) or ON_ITSELF.search(value))


def _value(one: Variable, name: str) -> str:
    """What stands for it in the stanza; empty where the example says what is there anyhow, or nothing that anybody would want."""
    reference, value = f"${{{one['name']}}}", one["value"] or one["default"]
    if OF_AN_API.search(one["name"]) or _is_program(one):
        return reference
    if "://" not in value and (SURELY_A_PLACE.search(one["name"]) or A_PLACE.search(value)):
        place = own_place(one["name"], name)
        if one["default"] and not re.search(r"[/~.\\]", one["default"]):  # auto-generated, in memory
            return ""
        file = ITS_FILE.search(value) if place == DATA and not FOLDERS.search(one["name"]) else None
        return f"{DATA}/{file[0]}" if file else place
    is_public = A_PUBLIC_URL.fullmatch(value) and not _is_for_operators(value)
    if is_public and one["first"] and not (one["said"] or one["default"] or reveals(value)):
        return f"${{{one['name']}:-{value}}}"
    if A_PERSONS.search(one["name"]):
        return reference
    if _is_for_operators(value):
        return reference if _is_for_operators(one["default"]) else ""
    if OF_A_CHOICE.search(one["name"]) and PLAIN.fullmatch(value) and not (one["default"] or reveals(value)):
        return f"${{{one['name']}:-{value}}}"
    if _is_list(one) and not reveals(value):
        return f"${{{one['name']}:-{value}}}"
    return value if one["said"] and not one["default"] and PLAIN.fullmatch(value) and not reveals(value) else ""
