"""From a draft to one that was tried: what the trial saw decides its egress, its storage, its smoke call and what it needs.

A trial that fails says why; what can be mended by the stanza (a variable, a folder, an older dependency) is mended and tried
again, and stays with the reason beside it. All of it comes from what was seen and said: no package is known by its name.
"""

import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from bridge.fleet import eras, notes, origins, secret_values
from bridge.fleet.draft import Draft, comment, holds_secret, references
from bridge.fleet.engines.programs import Failed
from bridge.fleet.lock import CannotLock, tell
from bridge.fleet.mends import (
    A_FEW,
    DATA,
    LISTENS,
    MANY,
    NOT_ITS_OWN,
    OWN_DOOR,
    of_somebody,
    own_place,
    unsaid,
    variable_of,
    volume,
    with_a_name,
    with_beside,
    with_demanded,
    with_driver,
    with_files,
    with_home,
    with_links,
    with_named,
    with_options,
    with_places,
    with_shown_arguments,
    with_storage,
    with_variables,
    without_stdio,
)
from bridge.fleet.parts import BROWSERS, listed
from bridge.fleet.project import Project
from bridge.fleet.publishers import is_here, with_published
from bridge.fleet.sdks import with_profile, with_sdks
from bridge.fleet.stanza import Stanza
from bridge.fleet.trial import doubts, findings, needs, usage
from bridge.fleet.trial.attempt import CONTAINED, Bench, NotTried, bench, of_files, placeholder_host
from bridge.fleet.trial.container import Seen, own_package
from bridge.fleet.trial.witness import slowness
from bridge.settings import UsageError

Check = Callable[[Draft], Stanza]
ROUNDS = 7
PATIENCE = 100.0  # seconds, in which other settings are tried, and (after the first) other versions of what it uses
PLACE = re.compile(r"(PATH|DIR|DIRECTORY|FOLDER|(?<!PRO)FILE|ROOT|STORAGE|DB|DATABASE|VAULT|WORKSPACE)$")
A_HOST = re.compile(r"\b[a-z][a-z+]*://[^\s'\"<>),;]+|(?<![\w.-])(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?\b", re.IGNORECASE)
# In the words that refuse an address.
ONLY_ITSELF = re.compile(
    r"\b(?:localhost|loopback|127\.0\.0\.1)\b.{0,40}\bonly\b|\bonly\b.{0,40}\b(?:localhost|loopback|127\.0\.0\.1)\b|\bmust\b.{0,40}\b(?:localhost|loopback|127\.0\.0\.1)\b|\bnot a loopback\b",
    re.IGNORECASE,
)
OF_MCP = re.compile(
    r"(^|_)(MCP|SSE|BIND|LISTEN|CALLBACK|REDIRECT)(_|$)|^(HTTP|SERVER)_"
)  # where it would listen itself, whatever it talks to


@dataclass(frozen=True)
class Proof:
    draft: Draft
    tools: int | None = None  # None: it did not start
    called: bool = False
    notes: list[str] = field(default_factory=list)


def proved(project: Project, draft: Draft, values: dict[str, str], where: str, check: Check, lock: Callable[[Draft], Draft]) -> Proof:
    """Try it. `check` makes a stanza of a draft, `lock` its lock. Raises nothing for what goes wrong with the server."""
    tried: set[str] = set()
    asked = frozenset(secret_values.names(draft))
    base, words = draft, None  # without the constraint that is tried, and what it said then
    bare = None  # without the Debian packages that are tried
    older: list[str] = []  # versions of what it uses that were tried
    until = inf
    while True:
        try:
            with bench(project, check(draft), where, asked) as table:
                draft, seen = _mended(table, draft, values, check)
                driver, called = needs.odbc(seen, str(draft.apt))
                in_vain = tried & {*needs.perhaps_of_debian(seen), *(BROWSERS if needs.wants_a_browser(seen) else ()), driver}
                if driver in in_vain:
                    env = {name: value for name, value in draft.env.items() if not value.endswith(f":-{called}}}")}
                    draft = replace(draft, env=env, why={name: one for name, one in draft.why.items() if name != "driver"})
                draft = replace(draft, apt=tuple(one for one in draft.apt if one not in in_vain))
                if bare and bare.source != draft.source and (needs.of_python(seen) if "pypi" in draft.source else needs.programs(seen)):
                    draft = lock(replace(draft, source=bare.source))  # that did not bring it
                if where == CONTAINED and (more := _with_more_in_its_image(draft, seen, tried)):
                    bare, draft = draft, more if more.source == draft.source else _locked(more, draft, lock)
                    continue
                if not seen.report["started"] and words == needs.last_words(seen):
                    draft = lock(base)  # that was not it
                other = None if seen.report["started"] or time.monotonic() > until else eras.mended(draft, seen, tried)
                if other is None:
                    proof = _decided(table, draft, values, check, seen, where)
                    gone = [one for one in older if one not in {*proof.draft.constraints, *proof.draft.overrides}]
                    vain = f"older versions changed nothing: {', '.join(gone)}" if gone and proof.tools is None else ""
                    return replace(proof, notes=[*proof.notes, *filter(None, [vain])])
        except NotTried as why:
            if draft.build and (headers := [one for one in needs.headers(why.printed) if one not in draft.apt]):
                tell(f"{draft.name}: it is compiled with {', '.join(headers)} from Debian; trying that")
                draft = replace(draft, apt=(*draft.apt, *headers))
                continue
            if bare is None:
                return Proof(_by_its_files(draft, check, asked), notes=[f"not tried: {why}"])
            draft, bare = replace(bare, why=bare.why | {"build" if draft.build else "apt": str(why)}), None
            continue
        base, words = draft, needs.last_words(seen)
        added = [*(other.constraints.keys() - draft.constraints.keys()), *(other.overrides.keys() - draft.overrides.keys())]
        tried.update(added)
        until = until if older else time.monotonic() + PATIENCE
        older += added
        tell(f"{draft.name}: it may be older than what it uses; trying {', '.join(added)}")
        try:
            draft = lock(other)
        except CannotLock:
            words = None


def _by_its_files(draft: Draft, check: Check, asked: Collection[str]) -> Draft:
    """What its publisher says and its code asks, where no image of it can be had."""
    if asked or draft.secrets or draft.env or "pypi" not in draft.source:
        return draft
    stanza = check(draft)
    with tempfile.TemporaryDirectory() as folder, suppress(Failed, NotTried, OSError):
        origins.unpack(stanza.pypi[0], Path(folder, f"lib/python{stanza.python}/site-packages"), stanza.python)
        seen = of_files(own_package(stanza), Path(folder))
        better = _as_published(draft, seen)
        asks = ", ".join(seen.report["speaks_to"][:3])
        why = f"its code asks {asks}" if asks else f"it may be given {notes.named(better.optional)}" if better.optional else ""
        if why and not better.talks:
            better = replace(better, egress=True, why=better.why | {"egress": f"{why}: false if that is inside the fleet"})
        return better if _may_be(check, better) else draft
    return draft


def _as_published(draft: Draft, seen: Seen) -> Draft:
    return with_sdks(with_published(draft, seen), _shown(seen))


def _shown(seen: Seen) -> list[str]:
    """The variables that its publisher shows in a configuration."""
    return [one["name"] for one in seen.report["published"] if one["shown"]]


def _locked(draft: Draft, without: Draft, lock: Callable[[Draft], Draft]) -> Draft:
    try:
        return lock(draft)
    except CannotLock:
        return lock(without)


def _with_its_package(draft: Draft, seen: Seen, tried: set[str]) -> Draft | None:
    """With the package of npm that its README has installed besides, where that brings a program which it does not find; with the tools of
    Python's that it runs."""
    if new := [name for name in needs.of_python(seen) if "pypi" in draft.source and name not in tried]:
        tried.update(new)
        with suppress(UsageError):
            found = [origins.newest_of_pypi(name) for name in new]
            tell(f"{draft.name}: it runs {', '.join(new)}, which its environment has not; trying that")
            return replace(draft, source={"pypi": [*listed(draft.source["pypi"]), *found]})
    absent = set(needs.programs(seen)) if "npm" in draft.source else set()
    for name in seen.report["installs"] if absent else []:
        if name in tried:
            continue
        tried.add(name)
        with suppress(UsageError):
            about = origins.look_at_npm(name)
            if brought := absent & {*about.programs}:
                tell(f"{draft.name}: it looks for {', '.join(brought)}, which its README installs with {name}; trying that")
                return replace(draft, source={"npm": [*listed(draft.source["npm"]), about.package]})
    return None


def _with_more_in_its_image(draft: Draft, seen: Seen, tried: set[str]) -> Draft | None:
    """With the programs that it looks for, a link for what it writes in its package, or with its native add-ons compiled; None if it is not that, or was tried."""
    if seen.report["platform"]:  # of which no image has it
        return None
    if more := _with_its_package(draft, seen, tried):
        return more
    wanted = [*needs.debian_packages(needs.programs(seen)), *needs.libraries(seen), *needs.browser(seen)]
    packages = [one for one in wanted or needs.perhaps_of_debian(seen) if one not in {*draft.apt, *tried}]
    addon = needs.native_addon(seen) if "npm" in draft.source and not draft.build else ""
    if packages:
        tried.update(packages)
        tell(f"{draft.name}: it looks for what is not there; trying with {', '.join(packages)} from Debian")
        return replace(draft, apt=(*draft.apt, *packages))
    driven = with_driver(draft, seen)
    if new := {*driven.apt} - {*draft.apt} - tried:
        tried.update(new)
        tell(f"{draft.name}: it wants an ODBC driver; trying with {', '.join(new)} from Debian")
        return driven
    linked = with_links(draft, seen)
    if new := linked.links.keys() - draft.links.keys() - tried:
        tried.update(new)
        tell(f"{draft.name}: it writes {', '.join(new)}, in its own package; trying with a link there")
        return linked
    if addon and addon not in tried:
        tried.add(addon)
        tell(f"{draft.name}: {addon} must be compiled; trying that, without network")
        return replace(draft, build=True)
    return None


def _mended(table: Bench, draft: Draft, values: dict[str, str], check: Check) -> tuple[Draft, Seen]:
    """Tried, and tried again as long as what was said can be answered by the stanza."""
    first: tuple[str, Draft] | None = None
    if not (table.asked or draft.secrets or draft.env) and (read := table.look(check(draft))):
        better = _as_published(draft, read)
        draft = better if _may_be(check, better) else draft
    until = time.monotonic() + PATIENCE * slowness()  # one that says nothing costs more each time than all the others
    for _ in range(ROUNDS):
        seen = table.watch(check(draft), values)
        first = first or (needs.last_words(seen), draft)
        shown = () if table.asked else _shown(seen)
        better = draft if table.asked else with_published(draft, seen)  # an operator who says what he sets knows what he needs
        better = with_profile(with_sdks(better, shown), needs.said(seen))
        if seen.report["started"] or _needs(better) == _needs(draft):  # else that is tried before what is guessed from its end
            better = with_sdks(with_files(with_storage(with_variables(with_options(better, seen), seen), seen), seen), shown)
        better = better if _may_be(check, better) else draft
        if better == draft and not (seen.report["started"] or needs.is_broken(seen)):
            better = _with_guesses(table, draft, seen, values, check)
        last, draft = draft, better
        if replace(better, secrets=last.secrets, optional=last.optional) == last and _needs(better) == _needs(last):
            break  # what it may do without, it did without
        if time.monotonic() > until:
            break
    is_same = first and first[0] == needs.last_words(seen) and draft.volumes == first[1].volumes and not findings.uses_placeholder(seen)
    if first and is_same and not seen.report["started"]:
        draft = replace(draft, command=first[1].command)  # what was tried there changed nothing
    if first and needs.listens(seen):
        draft = without_stdio(draft, first[1])
    draft, seen = _with_missed_options(table, draft, seen, values, check)
    draft, seen = _with_back_end(table, draft, seen, values, check)
    return _with_own_places(table, draft, seen, values, check)


def _may_be(check: Check, draft: Draft) -> bool:
    """What is mended by guesses may be nothing that a stanza can be."""
    try:
        check(draft)
    except UsageError as why:
        tell(f"{why}: going on without")
        return False
    return True


def _needs(draft: Draft) -> tuple[set[str], dict[str, str]]:
    return set(draft.secrets) - set(draft.optional), draft.env


def _with_missed_options(table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Check) -> tuple[Draft, Seen]:
    """Where no call works without options that they name: with these, if they are missed no more then."""
    missed, other = needs.missed_options(seen), draft
    for option in missed[:A_FEW]:
        other = with_demanded(other, seen, option)
    if table.asked or not missed or not _may_be(check, other):
        return draft, seen
    again = table.watch(check(other), values)
    is_better = again.report["started"] and not {*missed} & {*needs.missed_options(again)}
    return (
        (other, again)
        if is_better
        else (replace(draft, why=draft.why | {"options": f"its calls want {', '.join(missed)}: that belongs into its `command`"}), seen)
    )


def _with_back_end(table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Check) -> tuple[Draft, Seen]:
    """Where it looks for a service in its own container: those of its variables that make it look elsewhere, if they are given."""
    if not findings.back_end(seen) or findings.uses_placeholder(seen):
        return draft, seen
    there = {*draft.env, *draft.secrets} - {*draft.optional}
    every = [
        name
        for name in dict.fromkeys([*draft.optional, *seen.report["reads"]])
        if needs.ADDRESS.search(name) and "PROXY" not in name and name not in there
    ]
    names = [name for name in every if not (LISTENS.search(name) or OWN_DOOR.search(name))] or [
        one for one in every if not OF_MCP.search(one)
    ]
    names = names[:MANY]
    if not names:
        return _with_its_address(table, draft, seen, values, check)
    again = table.watch(check(_with_required(draft, names)), values)
    if refusal := _only_itself(again):
        about = f"it takes no address but that of its own machine: let it run there, behind `mcp-bridge serve`, and add it by --url (it says: {refusal})"
        kept = [tuple(name for name in known if name not in names) for known in (draft.secrets, draft.optional)]
        return replace(draft, secrets=kept[0], optional=kept[1], why=draft.why | {"own_machine": about}), seen
    used = [name for name in names if any(reach.what.startswith(placeholder_host(name)) for reach in again.reached)]
    if not used and again.report["started"] and not findings.back_end(again):  # who takes only addresses looks up no name
        used = (
            names
            if len(names) == 1
            else [one["name"] for one in again.report["published"] if one["name"] in names and is_here(one["default"])]
        )
    if not used:
        return _with_its_address(table, draft, seen, values, check)
    return with_beside(_with_required(draft, used), again, used), again


def _only_itself(seen: Seen) -> str:
    """The line by which it refuses an address of another machine; empty if none does."""
    lines = [line for text in (*seen.report["words"], *(call["complaint"] for call in seen.report["calls"])) for line in text.splitlines()]
    return next((line.strip()[:120] for line in reversed(lines) if ONLY_ITSELF.search(line)), "")


def _with_its_address(table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Check) -> tuple[Draft, Seen]:
    """The same where no variable but an argument makes it look elsewhere: one that its README shows, or an option whose default by its help is
    the very address."""

    def others() -> Iterator[Draft]:
        yield with_shown_arguments(draft, seen)
        helping = table.watch(check(replace(draft, command=(*draft.command, "--help"))), values, []) if draft.command else seen
        for words in usage.addresses(helping, findings.back_end(seen), variable_of(draft.name)):
            yield replace(draft, command=(*draft.command, *words))

    for other in others():
        names = [name for name in references(other) if name not in references(draft)]
        if names and _may_be(check, other):
            again = table.watch(check(other), values)
            if any(reach.what.startswith(placeholder_host(name)) for name in names for reach in again.reached):
                return other, again
    return draft, seen


def _with_required(draft: Draft, names: list[str]) -> Draft:
    """With these, which no longer may be left out."""
    kept = [tuple(name for name in known if name not in names) for known in (draft.secrets, draft.optional)]
    return with_named(replace(draft, secrets=kept[0], optional=kept[1]), names)


def _with_guesses(table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Check) -> Draft:
    """It ended and named no variable: with those of its code that its words speak of, if it starts or says something else then (of another
    host, say: that is the one that it was given), and without those of which it does not. Where it asked somebody without, and says so, it knows
    an address."""
    words = needs.last_words(seen)
    knows = any(host in words for host in findings.names([seen]))
    names = needs.likely(seen, [name for name in unsaid(draft, seen) if not (knows and needs.ADDRESS.search(name))])
    if not names:
        return draft
    again = table.watch(check(with_named(draft, names)), values)
    said = _said(again)
    instead: list[str] = []
    if not (again.report["started"] or said != _said(seen)):
        return draft
    for name in sorted(names, key=lambda one: (one in seen.report["documented"], not secret_values.ANYBODYS.fullmatch(one))):
        if not (less := [one for one in names if one != name]):
            break
        bare = table.watch(check(with_named(draft, less)), values)
        if bare.report["started"] if again.report["started"] else _said(bare) == said:
            names, instead = less, [*instead, name]
    draft = with_named(draft, names)
    if holds_secret(names[0]) and (keys := [name for name in instead if holds_secret(name)]):
        draft = replace(draft, why=draft.why | {"instead": f"instead of {' and '.join(names)} it may take {', '.join(keys)}"})
    return replace(draft, secrets=(*draft.secrets, *instead), optional=(*draft.optional, *instead))


def _said(seen: Seen) -> str:
    """Why it did not start, whichever host that was about."""
    return A_HOST.sub("", needs.last_words(seen))


def _with_own_places(table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Check) -> tuple[Draft, Seen]:
    """Where no call proves anything, or it writes into its own package: tried with the places that its code reads from variables, in a volume.
    They stay if that helped."""
    if not seen.report["started"] or (not findings.storage(seen).inside and findings.smoke(seen, None, True)):
        return draft, seen
    places = {
        name: own_place(name, draft.name)
        for name in seen.report["reads"]
        if PLACE.search(name) and not NOT_ITS_OWN.search(name) and name not in {*draft.env, *draft.secrets}
    }
    if not 0 < len(places) <= A_FEW:
        return draft, seen
    other = with_places(replace(draft, env=draft.env | places))
    if not _may_be(check, other):
        return draft, seen
    again = table.watch(check(other), values)

    def working(one: Seen) -> int:
        return sum(not call["complaint"] for call in one.report["calls"])

    if not again.report["started"] or working(again) <= working(seen):
        return draft, seen
    return replace(other, why=other.why | {"volumes": f"its code reads {', '.join(places)}, and works with it"}), again


def _with_only_what_it_needs(table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Check) -> tuple[Draft, Seen]:
    """Without the variables that nobody calls required and that it does without: dropped, or optional where its publisher speaks of them."""
    lacking = check(draft).missing(values)
    own = [name for name in draft.secrets if name not in draft.optional and draft.stored_as(name) in lacking]
    own += [name for name, value in draft.env.items() if value == f"${{{name}}}" and name in lacking]
    names = doubts.doubtful(own, seen)
    if table.asked or not names or not seen.report["started"]:
        return draft, seen
    bare = table.watch(check(_without(draft, names)), values)
    if (wanted := {*needs.missing(bare)} & {*names}) and (names := [name for name in names if name not in wanted]):
        bare = table.watch(check(_without(draft, names)), values)
    needless = doubts.needless(names, seen, bare, {name: placeholder_host(name) for name in names})
    if not needless:
        return draft, seen
    told = [one["name"] for one in seen.report["published"] if one["name"] in needless and one["name"] not in seen.report["misspelt"]]
    better = _without(draft, needless)
    if unread := [name for name in needless if name in seen.report["misspelt"]]:
        about = f"its README sets {notes.named(unread)}, which its code does not read, and it does the same without"
        better = replace(better, why=better.why | {"unread": about})
    files = tuple(name for name in draft.as_files if name in (*better.secrets, *told))
    better = replace(better, secrets=(*better.secrets, *told), optional=(*better.optional, *told), as_files=files)
    return better, bare if len(needless) == len(names) else table.watch(check(better), values)


def _without(draft: Draft, names: Collection[str]) -> Draft:
    kept = [tuple(one for one in known if one not in names) for known in (draft.secrets, draft.as_files)]
    return replace(draft, secrets=kept[0], as_files=kept[1], env={name: value for name, value in draft.env.items() if name not in names})


def _decided(table: Bench, draft: Draft, values: dict[str, str], check: Check, closed: Seen, where: str) -> Proof:
    draft, closed = _with_only_what_it_needs(table, draft, closed, values, check) if where == CONTAINED else (draft, closed)
    stanza, opened = check(draft), None
    wanted = unsaid(draft, closed)
    talks, keys = draft.talks or bool(wanted and not closed.report["started"]), of_somebody(draft.optional) or with_a_name(closed)
    egress = findings.egress(closed, talks, keys, "own_machine" not in draft.why, draft.browses)
    draft = with_home(draft, closed)
    draft = _with_a_place_for_files(draft, closed) if not egress.allowed else draft
    lacking = [name for name in stanza.missing(values | table.known()) if name]
    alone = not (lacking or stanza.required_secrets or stanza.required_variables or draft.volumes)
    smoke = findings.smoke(closed, None, alone)
    if smoke and lacking and where == CONTAINED:
        bare = _without(draft, lacking)
        smoke = None if check(bare).missing(values) else findings.smoke_without(closed, table.watch(check(bare), values), alone)
    if smoke is None and egress.allowed and egress.hosts and not lacking and where == CONTAINED:
        tell(
            f"{draft.name}: it wants to reach {', '.join(egress.hosts[:3])}: trying that in a container which reaches the internet, and no private network"
        )
        opened = _with_network(table, stanza, values, closed)
        smoke = findings.smoke(closed, opened, alone)
    if smoke is None and not lacking and (smoke := findings.failing_open(closed)):
        egress = replace(egress, why=f"{egress.why}, and answers without")
    if smoke and (answer := findings.says_nothing(closed, smoke)):
        draft = replace(draft, why=draft.why | {"answer": answer})
    draft = _with_downloads(draft, opened)
    is_anywhere = draft.browses or findings.back_end(closed)  # which no list of what the trial saw could hold
    reached = () if is_anywhere else tuple(findings.names(filter(None, (closed, opened))))
    draft = replace(draft, egress=egress.allowed, reached=reached, why=draft.why | {"egress": egress.why})
    best = opened if opened and not closed.report["started"] and (opened.report["started"] or not findings.is_cut_off(opened)) else closed
    if not best.report["started"]:
        return Proof(draft, notes=notes.of_one_that_did_not_start(draft, best, lacking, wanted))
    title = best.report["server"].get("title") if isinstance(best.report["server"], dict) else ""
    unproved, asked = findings.unproved(best)
    draft = replace(
        draft,
        tools=tuple(best.report["tools"]),
        smoke=smoke,
        unproved=unproved if smoke is None else None,
        why=draft.why | {"smoke": _why_unproved(lacking, asked or next(iter(egress.hosts), ""), opened, best)},
        description=draft.description or (title if isinstance(title, str) else "") or closed.report["about"],
    )
    told = notes.of_a_started_one(draft, stanza.litellm_name, closed, egress.hosts)
    return Proof(draft, len(best.report["tools"]), smoke is not None, told)


def _with_a_place_for_files(draft: Draft, closed: Seen) -> Draft:
    """A volume for what its tools are to read, where nothing else is kept."""
    if draft.volumes or not (paths := needs.paths(closed.report["tools"])):
        return draft
    about = f"its tools take paths ({paths}): what they see is {DATA}; /a/folder/of/yours:{DATA} shows them that"
    return replace(draft, volumes=(volume(draft.name, DATA),), cwd=draft.cwd or DATA, why=draft.why | {"volumes": about})


def _why_unproved(lacking: list[str], host: str, opened: Seen | None, best: Seen) -> str:
    if lacking:
        return f"{notes.named(lacking)} {'has' if len(lacking) == 1 else 'have'} no value yet"
    if not best.report["tools"]:
        return "it lists no tools"
    if findings.is_cut_off(opened) and host and not needs.not_in_a_package(best):
        return f"{host} cannot be reached from here"
    failure = next((call["complaint"] for call in (opened or best).report["calls"] if call["complaint"]), "")
    return comment(re.sub(r":\s*\n\s*", ": ", failure, count=1).partition("\n")[0]) or (
        "what answered may change something, or was asked with a guess" if best.report["calls"] else "it was not called"
    )


def _with_downloads(draft: Draft, opened: Seen | None) -> Draft:
    """A home that is kept, where it downloads much into it."""
    return with_storage(draft, opened) if opened and opened.report["started"] else draft


def _with_network(table: Bench, stanza: Stanza, values: dict[str, str], closed: Seen) -> Seen:
    """The calls that only read, with the internet."""
    if closed.report["started"]:
        return table.watch(stanza, values, findings.worth_a_try(closed), is_open=True)
    return table.watch(stanza, values, [], is_open=True)
