"""From a draft to one that was tried: what the trial saw decides its egress, its storage, its smoke call and what it needs.

A trial that fails says why; what can be mended by the stanza (a variable, a folder, an older dependency) is mended and tried
again, and stays with the reason beside it. All of it comes from what was seen and said: no package is known by its name.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bridge.fleet import eras, secret_values
from bridge.fleet.draft import Draft, comment, is_secret
from bridge.fleet.lock import CannotLock
from bridge.fleet.mends import (
    A_FEW,
    DATA,
    LISTENS,
    MANY,
    NOT_ITS_OWN,
    OWN_DOOR,
    own_place,
    targets,
    unsaid,
    volume,
    with_files,
    with_named,
    with_options,
    with_places,
    with_storage,
    with_variables,
)
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.trial import findings, needs
from bridge.fleet.trial.attempt import CONTAINED, Bench, NotTried, bench, placeholder_host
from bridge.fleet.trial.calls import NO_NETWORK
from bridge.fleet.trial.container import Seen
from bridge.protocol.tool_checks import oddities

ROUNDS = 7
PLACE = re.compile(r"(PATH|DIR|DIRECTORY|FOLDER|FILE|ROOT|STORAGE|DB|DATABASE|VAULT|WORKSPACE)$")
ADDRESS = re.compile(r"(^|_)(HOST|HOSTNAME|UR[IL]|ENDPOINT|ADDR|ADDRESS|SERVER|BASE)$")
MOST_ODD = 3  # tools that models may refuse, which are told one by one


@dataclass(frozen=True)
class Proof:
    draft: Draft
    tools: int | None = None  # None: it did not start
    called: bool = False
    notes: list[str] = field(default_factory=list)


def proved(
    project: Project, draft: Draft, values: dict[str, str], where: str, check: Callable[[Draft], Stanza], lock: Callable[[Draft], Draft]
) -> Proof:
    """Try it. `check` makes a stanza of a draft, `lock` its lock. Raises nothing for what goes wrong with the server."""
    tried: set[str] = set()
    asked = frozenset(secret_values.names(draft))
    base, words = draft, None  # without the constraint that is tried, and what it said then
    bare = None  # without the Debian packages that are tried
    while True:
        try:
            with bench(project, check(draft), where, asked) as table:
                draft, seen = _mended(table, draft, values, check)
                if where == CONTAINED and (more := _with_more_in_its_image(draft, seen, tried)):
                    bare, draft = draft, more
                    continue
                if not seen.report["started"] and words == needs.last_words(seen):
                    draft = lock(base)  # that was not it
                other = None if seen.report["started"] else eras.mended(draft, seen, tried)
                if other is None:
                    return _decided(table, draft, values, check, seen, where)
        except NotTried as why:
            if draft.build and (headers := [one for one in needs.headers(why.printed) if one not in draft.apt]):
                _tell(f"{draft.name}: it is compiled with {', '.join(headers)} from Debian; trying that")
                draft = replace(draft, apt=(*draft.apt, *headers))
                continue
            if bare is None:
                return Proof(draft, notes=[f"not tried: {why}"])
            draft, bare = replace(bare, why=bare.why | ({"build": str(why)} if draft.build else {})), None
            continue
        base, words = draft, needs.last_words(seen)
        added = [*(other.constraints.keys() - draft.constraints.keys()), *(other.overrides.keys() - draft.overrides.keys())]
        tried.update(added)
        _tell(f"{draft.name}: it may be older than what it uses; trying {', '.join(added)}")
        try:
            draft = lock(other)
        except CannotLock:
            words = None


def _with_more_in_its_image(draft: Draft, seen: Seen, tried: set[str]) -> Draft | None:
    """With the programs that it looks for, or with its native add-ons compiled; None if it is not that, or was tried."""
    wanted = [*needs.debian_packages(needs.programs(seen)), *needs.libraries(seen)]
    packages = [one for one in wanted if one not in {*draft.apt, *tried}]
    addon = needs.native_addon(seen) if "npm" in draft.source and not draft.build else ""
    if packages:
        tried.update(packages)
        _tell(f"{draft.name}: it looks for what is not there; trying with {', '.join(packages)} from Debian")
        return replace(draft, apt=(*draft.apt, *packages))
    if addon and addon not in tried:
        tried.add(addon)
        _tell(f"{draft.name}: {addon} must be compiled; trying that, without network")
        return replace(draft, build=True)
    return None


def _mended(table: Bench, draft: Draft, values: dict[str, str], check: Callable[[Draft], Stanza]) -> tuple[Draft, Seen]:
    """Tried, and tried again as long as what was said can be answered by the stanza."""
    for _ in range(ROUNDS):
        seen = table.watch(check(draft), values)
        better = with_files(with_storage(with_variables(with_options(draft, seen), seen), seen), seen)
        if better == draft and not seen.report["started"]:
            better = _with_guesses(table, draft, seen, values, check)
        last, draft = draft, better
        if replace(better, secrets=last.secrets, optional=last.optional) == last and set(better.secrets) - set(last.secrets) <= set(
            better.optional
        ):
            break  # what it may do without, it did without
    draft, seen = _with_back_end(table, draft, seen, values, check)
    return _with_own_places(table, draft, seen, values, check)


def _with_back_end(table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Callable[[Draft], Stanza]) -> tuple[Draft, Seen]:
    """Where it looks for a service in its own container: those of its variables that make it look elsewhere, if they are given."""
    if not findings.back_end(seen) or findings.uses_placeholder(seen):
        return draft, seen
    there = {*draft.env, *draft.secrets}
    names = [name for name in seen.report["reads"] if ADDRESS.search(name) and not LISTENS.search(name) and name not in there][:MANY]
    if not names:
        return draft, seen
    again = table.watch(check(with_named(draft, names)), values)
    used = [name for name in names if any(reach.what.startswith(placeholder_host(name)) for reach in again.reached)]
    return (with_named(draft, used), again) if used else (draft, seen)


def _with_guesses(table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Callable[[Draft], Stanza]) -> Draft:
    """It ended and named no variable: with those of its code that its words speak of, if it starts or says something else then."""
    names = needs.likely(seen, unsaid(draft, seen))
    if not names:
        return draft
    other = with_named(draft, names)
    again = table.watch(check(other), values)
    return other if again.report["started"] or needs.last_words(again) != needs.last_words(seen) else draft


def _with_own_places(
    table: Bench, draft: Draft, seen: Seen, values: dict[str, str], check: Callable[[Draft], Stanza]
) -> tuple[Draft, Seen]:
    """Where no call proves anything, or it writes into its own package: tried with the places that its code reads from variables, in a volume.
    They stay if that helped."""
    if not seen.report["started"] or (not findings.storage(seen).inside and findings.smoke(seen, None, True)):
        return draft, seen
    places = {
        name: own_place(name, draft.name)
        for name in seen.report["reads"]
        if PLACE.search(name) and not NOT_ITS_OWN.search(name) and name not in draft.env
    }
    if not 0 < len(places) <= A_FEW:
        return draft, seen
    other = with_places(replace(draft, env=draft.env | places))
    again = table.watch(check(other), values)

    def working(one: Seen) -> int:
        return sum(not call["complaint"] for call in one.report["calls"])

    if not again.report["started"] or working(again) <= working(seen):
        return draft, seen
    return replace(other, why=other.why | {"volumes": f"its code reads {', '.join(places)}, and works with it"}), again


def _decided(table: Bench, draft: Draft, values: dict[str, str], check: Callable[[Draft], Stanza], closed: Seen, where: str) -> Proof:
    stanza, notes, opened = check(draft), [], None
    wanted = unsaid(draft, closed)
    egress = findings.egress(closed, draft.talks or bool(wanted and not closed.report["started"]), draft.optional)
    if not egress.allowed and not draft.volumes and (paths := needs.paths(closed.report["tools"])):
        draft = replace(
            draft,
            volumes=(volume(draft.name, DATA),),
            cwd=draft.cwd or DATA,
            why=draft.why
            | {"volumes": f"its tools take paths ({paths}): what they see is {DATA}; /a/folder/of/yours:{DATA} shows them that"},
        )
    lacking = [name for name in stanza.missing(values | table.known()) if name]
    alone = not (lacking or stanza.required_secrets or stanza.required_variables or draft.volumes)
    smoke = findings.smoke(closed, None, alone) if not lacking or where != CONTAINED else None
    if smoke is None and egress.allowed and egress.hosts and not lacking and where == CONTAINED:
        _tell(
            f"{draft.name}: it wants to reach {', '.join(egress.hosts[:3])}: trying that in a container which reaches the internet, and no private network"
        )
        opened = _with_network(table, stanza, values, closed)
        smoke = findings.smoke(closed, opened, alone)
    draft = _with_downloads(draft, opened)
    best = opened if opened and not closed.report["started"] and (opened.report["started"] or not findings.is_cut_off(opened)) else closed
    started, tools = bool(best.report["started"]), best.report["tools"]
    title = best.report["server"].get("title") if isinstance(best.report["server"], dict) else ""
    why = draft.why | {"egress": egress.why}
    if not started:
        without = f" without a real {', '.join(lacking)}" if lacking else ""
        unreached = lacking and findings.uses_placeholder(best) and NO_NETWORK.search(needs.last_words(best))
        said = f"it did not start{without}: {'it wants to reach that at its start' if unreached else needs.last_words(best)}"
        if addon := needs.native_addon(best):
            said = f"it did not start: {addon} must be compiled" + (
                f", and that failed: {draft.why['build']}"
                if "build" in draft.why
                else ", which runs code of its package: take this stanza away and add it with --build"
            )
        more = (
            [comment(f"its code reads {', '.join(wanted[:10])}: what it needs of these belongs into its 'env' or 'secrets'")]
            if wanted
            else []
        ) + list(filter(None, [draft.why.get("instead")]))
        return Proof(
            replace(draft, egress=egress.allowed, why=why),
            None,
            False,
            [comment(said), *more, comment(f"egress: {_yes(egress.allowed)}: {egress.why}")],
        )
    unproved = findings.unproved(best) if smoke is None else None
    failure = next((call["complaint"] for call in (opened or best).report["calls"] if call["complaint"]), "")
    why["smoke"] = (
        f"{', '.join(lacking)} has no value yet"
        if lacking
        else f"{egress.hosts[0]} cannot be reached from here"
        if findings.is_cut_off(opened) and egress.hosts
        else comment(failure) or ("it was not called" if tools else "it lists no tools")
    )
    draft = replace(
        draft,
        tools=tuple(tools),
        smoke=smoke,
        unproved=unproved,
        egress=egress.allowed,
        why=why,
        description=draft.description or (title if isinstance(title, str) else ""),
    )
    notes += [
        f"egress: {_yes(egress.allowed)}: {egress.why}"
        + (f" (names that it looked up: {', '.join(egress.hosts[:8])})" if egress.allowed and len(egress.hosts) > 1 else "")
    ]
    if draft.why.get("volumes"):
        notes += [f"storage: {', '.join(draft.volumes)}: {draft.why['volumes']}"]
    if draft.optional:
        notes += [f"its code asks for {', '.join(draft.optional)}, and it starts without: write it to compose/.env if you have it"]
    if draft.why.get("instead"):
        notes += [draft.why["instead"]]
    if (
        not draft.secrets
        and not draft.optional
        and (read := [name for name in closed.report["reads"] if is_secret(name) and not OWN_DOOR.search(name)])
    ):
        notes += [f"its code asks for {', '.join(read[:8])}{' …' if read[8:] else ''}: what you have of these belongs into its 'secrets'"]
    if (
        smoke is None
        and needs.wants_configuration(closed)
        and (read := [name for name in closed.report["reads"] if name not in {*draft.env, *draft.secrets}])
    ):
        notes += [f"it wants to be told more; its code reads {', '.join(read[:12])}{' …' if read[12:] else ''}"]
    if inside := findings.storage(closed, targets(draft)).inside:
        notes += [
            f"it wants to write to {inside}, inside its own package, which is read-only: has it an option or a variable for another place?"
            + (
                f" Its code reads {', '.join(places)}."
                if (places := [name for name in closed.report["reads"] if re.search("PATH|DIR|FILE|STORAGE|DB", name)])
                else ""
            )
        ]
    notes += [
        f"it looks for the program {name}, which is not in its image: the Debian package that has it belongs into `apt`"
        for name in needs.programs(closed)
        if name not in needs.DEBIAN and "." not in name
    ]
    if smoke and not draft.secrets and (account := needs.wants_login(closed)):
        notes += [f"some of its calls want an account or a key: {account}"]
    odd = [one for one in oddities(tools, stanza.litellm_name) if not one.mended]
    notes += [f"models may refuse {one}; {one.way_out}" for one in odd[:MOST_ODD]]
    notes += [f"models may refuse {len(odd) - MOST_ODD} more of its tools for such reasons" for _ in odd[MOST_ODD : MOST_ODD + 1]]
    if smoke:
        notes += [f"works: {smoke['tool']} was called" + (" with the network" if smoke.get("internet") else "")]
    else:
        notes += [f"only listed: no call was proved ({why['smoke']})"]
    return Proof(draft, len(tools), smoke is not None, list(map(comment, notes)))


def _with_downloads(draft: Draft, opened: Seen | None) -> Draft:
    """A home that is kept, where it downloads much into it."""
    return with_storage(draft, opened) if opened and opened.report["started"] else draft


def _with_network(table: Bench, stanza: Stanza, values: dict[str, str], closed: Seen) -> Seen:
    """The calls that only read, with the internet."""
    if closed.report["started"]:
        return table.watch(stanza, values, findings.worth_a_try(closed), is_open=True)
    return table.watch(stanza, values, [], is_open=True)


def _yes(allowed: bool) -> str:
    return "true" if allowed else "false"


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
