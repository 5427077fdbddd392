"""From a draft to one that was tried: what the trial saw decides its egress, its storage, its smoke call and what it needs.

A trial that fails says why; what can be mended by the stanza (a variable, a folder, an older dependency) is mended and tried
again, and stays with the reason beside it. All of it comes from what was seen and said: no package is known by its name.
"""

import re
import tempfile
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from bridge.fleet import origins
from bridge.fleet.adding import eras, notes, secret_values
from bridge.fleet.adding.draft import Draft, comment
from bridge.fleet.adding.image_parts import misses_what_a_package_should_bring, with_more_in_its_image, without_what_was_in_vain
from bridge.fleet.adding.mends import DATA, beside_a_host, of_somebody, unsaid, volume, with_home, with_storage, without
from bridge.fleet.adding.trial import arguments, dependencies, findings, needs
from bridge.fleet.adding.trial.attempt import CONTAINED, NotTried, bench, of_files
from bridge.fleet.adding.trial.container import Seen, own_package
from bridge.fleet.adding.trial.witness import slowness
from bridge.fleet.adding.tries import (
    PATIENCE,
    Check,
    Tries,
    as_published,
    may_be,
    mended,
    with_only_what_it_needs,
    with_what_it_cannot_do_without,
)
from bridge.fleet.engines.programs import Failed
from bridge.fleet.lock import CannotLock, tell
from bridge.fleet.parts import listed
from bridge.fleet.project import Project

OF_ITS_OWN_SCHEMA = "Output validation error"  # as MCP's SDK for Python refuses what a tool gives back


@dataclass(frozen=True)
class Proof:
    draft: Draft
    tools: int | None = None  # None: it did not start
    called: bool = False
    notes: list[str] = field(default_factory=list)


def proved(project: Project, draft: Draft, values: dict[str, str], where: str, check: Check, lock: Callable[[Draft], Draft]) -> Proof:
    """Try it. `check` makes a stanza of a draft, `lock` its lock. Raises nothing for what goes wrong with the server, but CannotLock for
    what is none."""
    tried: set[str] = set()
    asked = frozenset(secret_values.names(draft))
    base, words = draft, None  # without the constraints that are tried, and what it said then
    added: list[str] = []
    bare = None  # without the Debian packages that are tried
    until = inf
    while True:
        try:
            with bench(project, check(draft), where, asked) as table:
                tries = Tries(table, values, check)
                draft, seen = mended(tries, draft)
                draft = without_what_was_in_vain(draft, seen, tried)
                if bare and bare.source != draft.source and misses_what_a_package_should_bring(draft, seen):
                    draft = lock(replace(draft, source=bare.source))
                if where == CONTAINED and (more := with_more_in_its_image(draft, seen, tried)):
                    bare, draft = draft, more if more.source == draft.source else _locked(more, draft, lock)
                    continue
                if not seen.report["started"] and (len(added) > 1 or words == _without_numbers(needs.last_words(seen))):
                    draft = lock(base)  # that was not it
                other = None if seen.report["started"] or time.monotonic() > until else eras.mended(draft, seen, tried)
                if other is None:
                    return _decided(tries, draft, seen, where)
        except NotTried as why:
            if draft.build and (headers := [one for one in dependencies.headers(why.printed) if one not in draft.apt]):
                tell(f"{draft.name}: it is compiled with {', '.join(headers)} from Debian; trying that")
                draft = replace(draft, apt=(*draft.apt, *headers))
                continue
            if bare is None:
                known = _by_its_files(draft, check, asked)
                egress = [notes.egress(known)] if "egress" in known.why else []
                return Proof(known, notes=[*egress, f"not tried: {why}"])
            draft, bare = replace(bare, why=bare.why | {"build" if draft.build else "apt": str(why)}), None
            continue
        base, words = draft, _without_numbers(needs.last_words(seen))
        added = [*(other.constraints.keys() - draft.constraints.keys()), *(other.overrides.keys() - draft.overrides.keys())]
        until = min(until, time.monotonic() + PATIENCE * slowness())
        tell(f"{draft.name}: it may be older than what it uses; trying {', '.join(added)}")
        try:
            draft = lock(other)
        except CannotLock:
            words, added = None, []


def _without_numbers(words: str) -> str:
    """Without addresses, times and the like, which are others each time."""
    return re.sub(r"0x[0-9a-f]+|\d+", "", words)


def _by_its_files(draft: Draft, check: Check, asked: Collection[str]) -> Draft:
    """What its publisher says and its code asks, where no image of it can be had."""
    if asked or draft.secrets or draft.env or "pypi" not in draft.source:
        return draft
    stanza = check(draft)
    with tempfile.TemporaryDirectory() as folder, suppress(Failed, NotTried, OSError):
        origins.unpack(stanza.pypi[0], Path(folder, f"lib/python{stanza.python}/site-packages"), stanza.python)
        seen = of_files(own_package(stanza), Path(folder))
        better = as_published(draft, seen)
        asks = ", ".join(seen.report["speaks_to"][:3])
        given = f"it may be given {notes.named(better.optional)}: false if that is inside the fleet" if better.optional else ""
        if (asks or given) and not better.talks:
            better = replace(better, egress=True, why=better.why | {"egress": f"its code asks {asks}" if asks else given})
        return better if may_be(check, better) else draft
    return draft


def _locked(draft: Draft, without: Draft, lock: Callable[[Draft], Draft]) -> Draft:
    try:
        return lock(draft)
    except CannotLock:
        return lock(without)


def _decided(tries: Tries, draft: Draft, closed: Seen, where: str) -> Proof:
    if where == CONTAINED:
        draft, closed = with_what_it_cannot_do_without(tries, *with_only_what_it_needs(tries, draft, closed))
    stanza, opened, as_tried = tries.check(draft), None, draft
    wanted = unsaid(draft, closed)
    talks = draft.talks or bool(wanted and not closed.report["started"])
    keys = of_somebody(draft.optional) or beside_a_host(closed)
    demanded = [name for name in secret_values.names(draft) if name not in map(draft.stored_as, draft.optional)]
    addresses = list(filter(needs.ADDRESS.search, demanded))
    egress = findings.egress(closed, talks, keys, draft.browses, addresses)
    draft = with_home(draft, closed)
    draft = _with_a_place_for_files(draft, closed)
    lacking = [name for name in stanza.missing(tries.values | tries.bench.known()) if name]
    alone = not (lacking or stanza.required_secrets or stanza.required_variables or draft.volumes)
    smoke = findings.smoke(closed, None, alone)
    if smoke and lacking and where == CONTAINED:
        bare = without(as_tried, lacking)
        smoke = None if tries.missing(bare) else findings.smoke_without(closed, tries.of(bare), alone)
    if smoke is None and egress.allowed and egress.hosts and not lacking and where == CONTAINED:
        tell(
            f"{draft.name}: it wants to reach {', '.join(egress.hosts[:3])}: trying that in a container which reaches the internet, and no private network"
        )
        opened = _with_network(tries, draft, closed)
        smoke = findings.smoke(closed, opened, alone)
    asks_nobody = smoke and not (opened or draft.browses) and findings.asks_nobody(closed, smoke)
    others_do = "which asks nobody, though others of its tools do" if asks_nobody else ""
    if smoke and (answer := findings.says_nothing(closed, smoke) or others_do):
        draft = replace(draft, why=draft.why | {"answer": answer})
    if opened and opened.report["started"]:
        draft = with_storage(draft, opened)  # a home that is kept, where it downloads much into it
    is_anywhere = draft.browses or findings.back_end(closed)  # which no list of what was seen could hold
    reached = () if is_anywhere else tuple(findings.names(filter(None, (closed, opened))))
    draft = replace(draft, egress=egress.allowed, reached=reached, why=draft.why | {"egress": egress.why})
    best = opened if opened and not closed.report["started"] and (opened.report["started"] or not findings.is_cut_off(opened)) else closed
    _refuse(draft, [closed, best])
    if not best.report["started"]:
        draft = replace(draft, description=draft.description or closed.report["about"])
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
    told = notes.of_a_started_one(draft, stanza.litellm_name, closed)
    return Proof(draft, len(best.report["tools"]), smoke is not None, told)


def _refuse(draft: Draft, seen: list[Seen]) -> None:
    """Raises CannotLock for what surely is no server (it did not start, and is a client, or nothing that it installs speaks MCP, and it asks
    nobody and starts nothing that could), and for what says itself that it is for another system than a container's."""
    report, package = seen[-1].report, listed(next(iter(draft.source.values()), ""))[0]
    if not draft.source.keys() & {"npm", "pypi"}:
        return
    if words := notes.another_system(seen[-1]):
        raise CannotLock(f"{package} does not run on Linux, as containers do ({comment(words).rstrip('.')}): {notes.RUNS_THERE}")
    says = f" (it says of itself: {comment(draft.description)})" if draft.description else ""
    may_be_one = report["speaks_mcp"] or report["installer"] or report["starts"] or any(one.reached for one in seen)
    if report["is_client"] and not report["started"]:
        raise CannotLock(f"{package} is a client of MCP, and serves nothing{says}")
    if not (may_be_one or report["started"]):
        raise CannotLock(f"{package} is no MCP server: nothing that it installs speaks MCP{says}")


def _with_a_place_for_files(draft: Draft, closed: Seen) -> Draft:
    """With the argument that names files of where it runs, and a volume for what its tools keep there, where nothing else is kept."""
    path = findings.paths(closed)
    if path and not draft.volumes and arguments.makes(closed.report["tools"]):
        about = f"its tools take paths ({path}): what they see is {DATA}; /a/folder/of/yours:{DATA} shows them that"
        draft = replace(draft, volumes=(volume(draft.name, DATA),), cwd=draft.cwd or DATA, why=draft.why | {"volumes": about})
    return replace(draft, why=draft.why | {"paths": path})


def _why_unproved(lacking: list[str], host: str, opened: Seen | None, best: Seen) -> str:
    if lacking:
        return f"{notes.named(lacking)} {'has' if len(lacking) == 1 else 'have'} no value yet"
    if not best.report["tools"]:
        return "it lists no tools"
    if findings.is_cut_off(opened) and host and not dependencies.not_in_a_package(best):
        return f"{host} cannot be reached from here"
    failed = [call for call in (opened or best).report["calls"] if call["complaint"]]
    failure = next((call["complaint"] for call in failed if not findings.complains_of_a_guess(call)), "")
    if failure.startswith(OF_ITS_OWN_SCHEMA):
        return f"what it answers is not what it says of its answers: broken as published ({comment(failure, 120)})"
    if failed and not failure:
        return "their arguments were guesses: they want what is yours"
    return comment(re.sub(r":\s*\n\s*", ": ", failure, count=1).partition("\n")[0]) or (
        "what answered may change something, or was asked with a guess" if best.report["calls"] else "it was not called"
    )


def _with_network(tries: Tries, draft: Draft, closed: Seen) -> Seen:
    """The calls that only read, with the internet."""
    if closed.report["started"]:
        return tries.of(draft, findings.worth_a_try(closed), is_open=True)
    return tries.of(draft, [], is_open=True)
