"""What an operator is told of a trial: a line for each thing that was decided, that is missing, or that is not as it should be. Pure.

The last line says whether it works: called, only listed, or not started.
"""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from bridge.fleet.adding.draft import Draft, comment, holds_secret
from bridge.fleet.adding.mends import DATA, NO_FILE, called_like, targets, volume
from bridge.fleet.adding.publishers import besides
from bridge.fleet.adding.trial import dependencies, findings, needs, stand_ins, usage
from bridge.fleet.adding.trial.calls import NO_NETWORK, with_underscores
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.adding.trial.published import SURELY_BY_HAND
from bridge.fleet.parts import REFERENCE, listed, normalized
from bridge.protocol.tool_checks import LONG, oddities, together

SHORT = 8  # names in one line
OF_A_CLIENT = re.compile(r"CLIENT|CREDENTIALS|OAUTH")  # of OAuth: with which a login begins
LONGEST = 400  # characters of a line: the way out stands at its end
RUNS_THERE = "let it run there, behind `mcp-bridge serve`, and add it by --url"
# What is of another system than a container's and not there, and the words of who runs only on one.
OF_ANOTHER_SYSTEM = re.compile(
    r"\bspawn (?:osascript|powershell(?:\.exe)?) ENOENT\b|No such file or directory: '(?:osascript|powershell)'|\bosascript: (?:command )?not found"
    r"|No module named '(?:winreg|win32\w+|pythoncom|pywintypes|objc|AppKit|Foundation|EventKit|Quartz|ScriptingBridge)'|has no attribute 'windll'"
    r"|(?i:\bonly (?:supported|supports|runs|works|available)\b.{0,20}\b(?:windows|macos|darwin)\b)"
)
REFUSES_LINUX = re.compile(
    r"\b(?:platform|linux|operating system)\b.{0,40}\b(?:not supported|unsupported)\b|\bunsupported (?:platform|operating system|os)\b",
    re.IGNORECASE,
)
# A tool that takes the key, or by which one logs in.
GIVES_A_KEY = re.compile(
    r"(?:^|_)(?:((?:set|configure|provide)_(?:\w+_)?(?:api_?key|(?:access_?|api_?|auth_?)?token|credentials?))"
    r"|log_?in|sign_?in|authenticate|start_(?:auth|oauth|login)\w*)$",
    re.IGNORECASE,
)
STAND_IN = re.compile(rf"{findings.STAND_IN}|[\w-]+\.{re.escape(findings.PLACEHOLDER)}", re.IGNORECASE)
IN_ITSELF = re.compile(r"(?:ENOENT|no such file|Cannot find module)[^\n]*/opt/server/", re.IGNORECASE)
OWN_FILE = re.compile(rf"{findings.OWN_HOME}/([\w.@+/-]*[\w-]\.[a-z]{{2,5}})\b")  # in its home


def of_a_started_one(draft: Draft, litellm_name: str, closed: Seen) -> list[str]:
    """`closed`: what was seen without a network."""
    if elsewhere := _platform(closed):  # whatever else it would do here
        return [_line(elsewhere)]
    return [_line(one) for one in [*_decisions(draft), *_lacks(draft, closed), *_oddities(draft, litellm_name), _end(draft)]]


def of_one_that_did_not_start(draft: Draft, best: Seen, lacking: list[str], wanted: list[str]) -> list[str]:
    """`lacking`: what has no value yet; `wanted`: variables of its code that nobody said. What stops it comes first, and alone where that is
    sure."""
    if obstacle := _obstacle(draft, best, lacking):
        return [_line(f"it did not start{obstacle}"), *map(_line, _elsewhere(draft, best))]
    is_open = not (lacking or dependencies.is_broken(best) or needs.login(best))  # what else it may want
    others = usage.other_commands(best) if len(draft.command) == 1 else []
    reads = f"its code reads {named(wanted)}: what it needs of these belongs into its 'env' or 'secrets'"
    return [
        _line(one)
        for one in [
            _why_not(draft, best, lacking),
            *([] if lacking else _elsewhere(draft, best)),
            *([reads] if wanted and is_open and not _asked(draft, best, lacking) else []),
            *([f"the commands of its program ({named(others)}) serve nothing: is it a server?"] if is_open and others else []),
            *_beside_it(draft, best),
            *_programs(draft, best),
            *_login(draft, best),
            *filter(None, map(draft.why.get, ("program", "driver", "instead", "profile", "here"))),
            *([egress(draft)] if draft.egress else []),
        ]
    ]


def _line(text: str) -> str:
    """Without what the trial gave in the place of a value, which a server may well make names of: SITE_…_URL."""
    return comment(STAND_IN.sub("…", text), LONGEST)


def named(names: Iterable[str], most: int = SHORT) -> str:
    names = list(names)
    return ", ".join(names[:most]) + " …" * (len(names) > most)


def _obstacle(draft: Draft, best: Seen, lacking: list[str]) -> str:
    """What keeps it from starting whatever it is given here; empty if that is not sure."""
    if best.report["installer"] and (not best.report["speaks_mcp"] or IN_ITSELF.search("\n".join(best.report["words"]))):
        return (
            f": what it lacks its install script brings (`{best.report['installer']}`), which is not run, as it is code of the package:"
            " `binary:` or an image of it has that, or let it run elsewhere, behind `mcp-bridge serve`, and add it by --url"
        )
    if not best.report["speaks_mcp"]:
        others = [*(f"starts {one}" for one in best.report["starts"]), *(f"fetches something from {one}" for one in draft.reached)]
        way_out = f", but it {named(others)}: let it run where it has that, behind `mcp-bridge serve`, and add it by --url"
        return f", and nothing that it installs speaks MCP{way_out if others else ': is it a server?'}"
    if addon := dependencies.native_addon(best):
        return f": {addon} must be compiled" + (
            f", and that failed: {draft.why['build']}"
            if "build" in draft.why
            else ", which runs code of its package: take this stanza away and add it with --build"
        )
    if told := needs.desk(best):
        return f": it wants a program of a desk beside it ({told[:120]}): {RUNS_THERE}"
    if (module := needs.absent_module(best)) and "pypi" in draft.source:
        packages = ", ".join([*listed(draft.source["pypi"]), "NAME"])
        return f": it imports {module}, which it neither has nor requires: broken as published, unless `pypi: [{packages}]` brings it"
    if (wanted := dependencies.not_in_a_package(best, draft.apt) or _platform(best)).endswith("--url"):  # not here, whatever it is given
        return f": {wanted}"
    place = f" on port {found}" if (found := needs.port(best)) else ""
    by_http = f": it serves HTTP{place}, not its input and output: let it run elsewhere, and add it by --url"
    return by_http if needs.listens(best) and not _waits(best, lacking) else ""


def _why_not(draft: Draft, best: Seen, lacking: list[str]) -> str:
    if wanted := dependencies.not_in_a_package(best, draft.apt):
        return f"it did not start: {wanted}"
    without = "" if dependencies.is_broken(best) or not lacking else f" without a real {', '.join(lacking)}"
    if without and not (_waits(best, lacking) or _asked(draft, best, lacking) or needs.speaks_of(best, lacking)):
        without = f" with what stood in for {named(lacking)}"  # which may be why, or not
    if _waits(best, lacking):
        looked_for = [name for name in lacking if any(reach.what.startswith(stand_ins.host(name)) for reach in best.reached)]
        return f"it did not start without a real {', '.join(looked_for or lacking)}: it wants to reach that at its start"
    asked, how = _asked(draft, best, lacking), "the trial keeps from it" if lacking else "cannot be reached from here"
    about = f"at its start it asks {asked}, which {how}: " if asked else ""
    return f"it did not start{without}: {about}{_with_its_file(needs.last_words(best))}"


def another_system(seen: Seen) -> str:
    """What it says by which it runs on another system than a container's: in the end, or in most of its calls where none works; empty if nothing."""
    if not seen.report["started"]:
        words = needs.last_words(seen)
        return words if OF_ANOTHER_SYSTEM.search(words) or REFUSES_LINUX.search(words) else ""
    said = [call["complaint"] for call in seen.report["calls"] if OF_ANOTHER_SYSTEM.search(call["complaint"])]
    return said[0] if needs.all_failed(seen) and 2 * len(said) > len(seen.report["calls"]) else ""


def _platform(seen: Seen) -> str:
    wanted = seen.report["platform"]
    return f"its publisher wants what no container is ({wanted.partition('. ')[0][:60]}): {RUNS_THERE}" if wanted else ""


def _asked(draft: Draft, best: Seen, lacking: list[str]) -> str:
    """Whom it asked before it ended, where it had only a made-up key for him, or this machine has no internet."""
    return draft.reached[0] if draft.reached and (lacking or findings.is_cut_off(best)) else ""


def _waits(best: Seen, lacking: list[str]) -> bool:
    """Whether it only wants to reach what the operator will name."""
    words = needs.last_words(best)
    is_about_it = best.is_silent or findings.PLACEHOLDER in words or NO_NETWORK.search(words)
    return bool(lacking and findings.uses_placeholder(best) and is_about_it)


def _with_its_file(words: str) -> str:
    """The trial's home is /tmp in the fleet: a file that must be there is one of the operator's."""
    found = OWN_FILE.search(words) if NO_FILE.search(words) else None
    words = words.replace(findings.OWN_HOME, "~")
    return f"{words} (volumes: [/a/file/of/yours:/tmp/{found[1]}:ro] gives it that)" if found else words


def egress(draft: Draft) -> str:
    """What was decided of that, and why."""
    why = draft.why["egress"]
    way_out = f": {RUNS_THERE}" if why.endswith("in a container is itself") else ""  # and nothing of its says another place
    return f"egress: {str(bool(draft.egress)).lower()}: {why}{way_out}"


def _decisions(draft: Draft) -> Iterator[str]:
    yield egress(draft)
    path = draft.why.get("paths")  # which it was seen to look at
    if draft.why.get("volumes"):
        is_of_files = (
            (draft.cwd == DATA or draft.env.get("HOME") != DATA)
            and volume(draft.name, DATA) in draft.volumes
            and f":{DATA}" not in draft.why["volumes"]
        )
        yours = f"; /a/folder/of/yours:{DATA} in its place gives it yours" if is_of_files and path else ""
        yield f"storage: {', '.join(draft.volumes)}: {draft.why['volumes']}{yours}"
    is_elsewhere = not draft.volumes or draft.env.get("HOME") == DATA != draft.cwd  # what is kept there is not what they are about
    if is_elsewhere and path:
        place = "/files" if draft.volumes else DATA
        yield f"its tools take paths ({path}) of where it runs, which has none of yours: `/a/folder/of/yours:{place}` in its `volumes` and `cwd: {place}` give it yours"
    alternatives = set(re.findall(r"\w+", draft.why.get("instead", "")))
    if without := [name for name in draft.optional if name not in alternatives]:
        does = "and does without" if draft.smoke else "and starts without"
        yield f"it may be given {named(without)}, {does}: what you have of these belongs into compose/.env"
    yield from filter(None, map(draft.why.get, ("program", "driver", "instead", "profile", "options", "unread", "here")))
    if keys := [found[1] for word in draft.command for found in REFERENCE.finditer(word) if holds_secret(found[1])]:
        instead = draft.why.get("argument", "no variable was found that it reads instead")
        yield f"{named(keys)} stands among its arguments, which every process in its container sees: {instead}"


def _beside_it(draft: Draft, seen: Seen) -> Iterator[str]:
    packages = listed(draft.source.get("pypi", []))
    there = [normalized(re.split("[=<>~! ]", one)[0]) for one in [*packages, *draft.constraints]]
    if packages and (others := [one for one in seen.report["withs"] if normalized(one) not in there]):
        yield f"its README has {named(others, 6)} beside it, each where that is used: `pypi: [{', '.join(packages)}, NAME]` brings it"


def _lacks(draft: Draft, closed: Seen) -> Iterator[str]:
    reads = closed.report["reads"]
    yield from _beside_it(draft, closed)
    if more := besides(draft, closed):
        yield f"what it may do is set in its `env`: its README has {named(more, 6)}"
    if inside := findings.storage(closed, targets(draft)).inside:
        places = [name for name in reads if re.search("PATH|DIR|FILE|STORAGE|DB", name)]
        yield (
            f"it wants to write to {inside}, inside its own package, which is read-only: has it an option or a variable for another place?"
            + (f" Its code reads {named(places)}." if places else "")
        )
    if wanted := dependencies.not_in_a_package(closed, draft.apt):
        yield wanted
    asks = any(findings.asked(closed, call) for call in closed.report["calls"])
    if closed.report["listens"] and not asks and (not draft.smoke or "answer" in draft.why):  # who works otherwise needs nobody there
        yield (
            f"it also waits at {named(closed.report['listens'])}, where nobody outside of its container comes: if a program of your desk is to"
            " (a browser's extension, say), let it run beside that, behind `mcp-bridge serve`, and add it by --url"
        )
    yield from _programs(draft, closed)
    if "pypi" in draft.source and (
        tool := next((one["name"] for one in closed.report["tools"] if findings.INSTALLS.search(one["name"])), "")
    ):
        yield f"its tool {tool} can install nothing, as its environment is read-only: what it should have stands beside it in `pypi`"
    if not draft.smoke or "answer" in draft.why or needs.login(closed):
        yield from _login(draft, closed)
    given = [(one["name"], found[1]) for one in closed.report["tools"] if (found := GIVES_A_KEY.search(with_underscores(one["name"])))]
    if given and not set(draft.keys) - set(draft.optional):
        yield f"its {'key is given' if given[0][1] else 'login is made'} by its tool {given[0][0]}"
    elif draft.smoke and not draft.keys and (account := needs.wants_login(closed)):
        yield f"some of its calls want an account or a key: {account}"


def _programs(draft: Draft, closed: Seen) -> Iterator[str]:
    absent = [name for name in dependencies.programs(closed) if name not in dependencies.DEBIAN and "." not in name]
    started = [name for name in dependencies.may_start(closed) if dependencies.DEBIAN.get(name) not in draft.apt]
    if programs := list(dict.fromkeys([*absent, *started])):
        packages = dependencies.debian_packages(programs)
        way = (
            f"`apt: [{', '.join(packages)}]` gives it what Debian has"
            if packages
            else "Debian has no package of that name: let it run where that is, behind `mcp-bridge serve`, and add it by --url"
            if "apt" in draft.why or dependencies.NOT_OF_DEBIAN.issuperset(programs)
            else "the Debian package that has that belongs into `apt`"
        )
        yield f"it starts {named(programs)}, which its image has not: {way}"
    told = {*draft.apt, *dependencies.debian_packages(programs)}
    if further := [one for one in dependencies.installed_by_readme(closed) if one not in told]:
        yield f"its README has {named(further)} installed, which its image has not: `apt: [{', '.join(further)}]` gives it that"


def _login(draft: Draft, seen: Seen) -> Iterator[str]:
    said = needs.login(seen)
    command = said or seen.report["login"]
    required = set(draft.secrets) - set(draft.optional)  # which is what a setup would ask for
    told = {one["name"] for one in seen.report["published"]}  # others may be for somebody else than who asks for the login
    keys = [name for name in draft.optional if holds_secret(name) and (name in told or called_like(draft, name))]
    keys = [name for name in keys if not OF_A_CLIENT.search(name)]
    instead = f"; or give it a key ({named(keys, 2)})" if keys else ""
    kept = seen.report["home"]
    place = str(PurePosixPath(kept).parent) if PurePosixPath(kept).suffix else kept
    at_home = f": volumes: [/your/home/{place}:{draft.env.get('HOME', '/tmp')}/{place}] brings what that writes"
    if place == "." and "HOME" in draft.env:  # a file alone could not be replaced, which is how many write one anew
        at_home = f": volumes: [/a/folder/of/yours:{draft.env['HOME']}] with a copy of your ~/{kept} in it brings what that writes"
    brings = at_home if kept else ", and bring what that writes by a volume"
    if command and not (required and not SURELY_BY_HAND.search(command)):
        yield f"{'it wants a login' if said else 'its README logs in'} by hand, once: run `{command}` where you have a browser{brings}{instead}"
    elif not command and seen.report["browser"] and not draft.browses and all(map(OF_A_CLIENT.search, required)):
        yield f"its README has a browser opened to log in, and a container has none: log in elsewhere{brings}{instead}"


def _elsewhere(draft: Draft, seen: Seen) -> Iterator[str]:
    if url := seen.report["elsewhere"]:
        yield f"its README has clients talk to a server at {url}: take this stanza away, and `mcp-bridge add {draft.name} --url {shlex.quote(url)}` adds that"


def _oddities(draft: Draft, litellm_name: str) -> Iterator[str]:
    odd = together([one for one in oddities(list(draft.tools or ()), litellm_name) if not one.mended and one.what != LONG])
    if odd:
        yield f"models may refuse {odd[0]}; {odd[0].way_out}{'; `mcp-bridge lint` has more such' * (len(odd) > 1)}"


def _end(draft: Draft) -> str:
    if draft.smoke:
        called = f"{draft.smoke['tool']} was called" + (" with the network" if draft.smoke.get("internet") else "")
        return f"answers: {called}, {draft.why['answer']}" if "answer" in draft.why else f"works: {called}"
    why = "it lacks values" if draft.why["smoke"].endswith("no value yet") else draft.why["smoke"]  # whose names stand in the next line
    return f"only listed: no call was proved ({_with_its_file(why)})"
