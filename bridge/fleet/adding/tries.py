"""What is tried of a draft: other commands, variables, places and addresses, and what it does without, each kept where that shows that it helps."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from bridge.fleet.adding import notes, secret_values
from bridge.fleet.adding.draft import Draft, holds_secret, references
from bridge.fleet.adding.mends import (
    A_FEW,
    LISTENS,
    MANY,
    NOT_ITS_OWN,
    OWN_DOOR,
    SETTING,
    own_place,
    unsaid,
    variable_of,
    with_beside,
    with_demanded,
    with_files,
    with_memory,
    with_named,
    with_options,
    with_places,
    with_required,
    with_shown_arguments,
    with_storage,
    with_variables,
    without,
    without_stdio,
    without_what_is_named_twice,
)
from bridge.fleet.adding.publishers import TRUSTS, is_here, with_published
from bridge.fleet.adding.sdks import with_profile, with_sdks
from bridge.fleet.adding.trial import dependencies, doubts, findings, needs, stand_ins, usage
from bridge.fleet.adding.trial.attempt import Bench
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.adding.trial.witness import slowness
from bridge.fleet.lock import tell
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

Check = Callable[[Draft], Stanza]
ROUNDS = 7
PATIENCE = 100.0  # seconds, in which other settings are tried, and (after the first) other versions of what it uses
WHOSE = re.compile(rf"{SETTING.pattern}|_ID$")  # of an account
PLACE = re.compile(r"(PATH|DIR|DIRECTORY|FOLDER|(?<!PRO)FILE|ROOT|STORAGE|DB|DATABASE|VAULT|WORKSPACE)$")
A_HOST = re.compile(r"\b[a-z][a-z+]*://[^\s'\"<>),;]+|(?<![\w.-])(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?\b", re.IGNORECASE)
OF_MCP = re.compile(
    r"(^|_)(MCP|SSE|BIND|LISTEN|CALLBACK|REDIRECT)(_|$)|^(HTTP|SERVER)_"
)  # where it would listen itself, whatever it talks to


@dataclass(frozen=True)
class Tries:
    """How drafts are tried: on which bench, with which values, and what makes a stanza of one."""

    bench: Bench
    values: dict[str, str]
    check: Check

    def of(self, draft: Draft, calls: list[dict[str, Any]] | None = None, is_open: bool = False) -> Seen:
        """What is seen of it. Raises NotTried."""
        return self.bench.watch(self.check(secret_values.apart(draft)), self.values, calls, is_open)

    def missing(self, draft: Draft) -> list[str]:
        """The names of compose/.env that have no value and are demanded."""
        return self.check(secret_values.apart(draft)).missing(self.values)

    def may_be(self, draft: Draft) -> bool:
        return may_be(self.check, secret_values.apart(draft))


def as_published(draft: Draft, seen: Seen) -> Draft:
    return with_sdks(with_published(draft, seen), _shown(seen))


def _shown(seen: Seen) -> list[str]:
    """The variables that its publisher shows in a configuration, and that something of what is installed reads."""
    return [one["name"] for one in seen.report["published"] if one["shown"] and one["name"] not in seen.report["misspelt"]]


def may_be(check: Check, draft: Draft) -> bool:
    """What is mended by guesses may be nothing that a stanza can be."""
    try:
        check(draft)
    except UsageError as why:
        tell(f"{why}: going on without")
        return False
    return True


def mended(tries: Tries, draft: Draft) -> tuple[Draft, Seen]:
    """Tried, and tried again as long as what was said can be answered by the stanza."""
    first: tuple[Seen, Draft] | None = None
    if not (tries.bench.asked or draft.secrets or draft.env) and (read := tries.bench.look(tries.check(draft))):
        better = as_published(draft, read)
        draft = better if tries.may_be(better) else draft
    until = time.monotonic() + PATIENCE * slowness()  # one that says nothing costs more each time than all the others
    for _ in range(ROUNDS):
        seen = tries.of(draft)
        first = first or (seen, draft)
        shown = () if tries.bench.asked else _shown(seen)
        better = draft if tries.bench.asked else with_published(draft, seen)  # an operator who says what he sets knows what he needs
        better = with_profile(with_sdks(better, shown), dependencies.said(seen))
        if seen.report["started"] or _needs(better) == _needs(draft):  # else that is tried before what is guessed from its end
            better = with_sdks(with_files(with_storage(with_variables(with_options(better, seen), seen), seen), seen), shown)
        better = with_memory(better if tries.may_be(better) else draft, seen)
        if better == draft and not (seen.report["started"] or dependencies.is_broken(seen)):
            better = _with_guesses(tries, draft, seen)
        last, draft = draft, better
        if replace(better, secrets=last.secrets, optional=last.optional) == last and _needs(better) == _needs(last):
            break  # what it may do without, it did without
        if time.monotonic() > until:
            break
    draft, seen = _without_what_was_in_vain(draft, seen, *first) if first and not seen.report["started"] else (draft, seen)
    draft, seen = _with_missed_options(tries, draft, seen)
    draft, seen = _with_back_end(tries, draft, seen)
    draft, seen = _with_own_places(tries, without_what_is_named_twice(draft), seen)
    return secret_values.apart(draft), seen


def _without_what_was_in_vain(draft: Draft, seen: Seen, first: Seen, before: Draft) -> tuple[Draft, Seen]:
    """The command as it was `before`, where what was tried of it changed nothing; with what was seen `first`, where that is refused."""
    words = needs.last_words(seen)
    if usage.REFUSES.search(words) and not usage.REFUSES.search(needs.last_words(first)):
        return replace(without_stdio(draft, before), command=before.command), first
    if needs.last_words(first) == words and draft.volumes == before.volumes and not findings.uses_placeholder(seen):
        told = [name for name in references(draft) if name not in references(before)]
        if not (told and needs.speaks_of(seen, told)):
            draft = replace(draft, command=before.command)
    return without_stdio(draft, before) if needs.listens(seen) else draft, seen


def _needs(draft: Draft) -> tuple[set[str], dict[str, str]]:
    return set(draft.secrets) - set(draft.optional), draft.env


def _with_missed_options(tries: Tries, draft: Draft, seen: Seen) -> tuple[Draft, Seen]:
    """Where no call works without options that they name: with these, if they are missed no more then."""
    missed, other = needs.missed_options(seen), draft
    for option in missed[:A_FEW]:
        other = with_demanded(other, seen, option)
    if tries.bench.asked or not missed or not tries.may_be(other):
        return draft, seen
    again = tries.of(other)
    is_better = again.report["started"] and not {*missed} & {*needs.missed_options(again)}
    return (
        (other, again)
        if is_better
        else (replace(draft, why=draft.why | {"options": f"its calls want {', '.join(missed)}: that belongs into its `command`"}), seen)
    )


def _with_back_end(tries: Tries, draft: Draft, seen: Seen) -> tuple[Draft, Seen]:
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
        return _with_its_address(tries, draft, seen)
    again = tries.of(with_required(draft, names))
    used = [name for name in names if any(reach.what.startswith(stand_ins.host(name)) for reach in again.reached)]
    if not used and again.report["started"] and not findings.back_end(again):  # who takes only addresses looks up no name
        used = (
            names
            if len(names) == 1
            else [one["name"] for one in again.report["published"] if one["name"] in names and is_here(one["default"])]
        )
    if not used:
        return _with_its_address(tries, draft, seen)
    return with_beside(with_required(draft, used), again, used), again


def _with_its_address(tries: Tries, draft: Draft, seen: Seen) -> tuple[Draft, Seen]:
    """The same where no variable but an argument makes it look elsewhere: one that its README shows, or an option whose default by its help is
    the very address."""

    def others() -> Iterator[Draft]:
        yield with_shown_arguments(draft, seen)
        helping = tries.of(replace(draft, command=(*draft.command, "--help")), []) if draft.command else seen
        for words in usage.addresses(helping, findings.back_end(seen), variable_of(draft.name)):
            yield replace(draft, command=(*draft.command, *words))

    for other in others():
        names = [name for name in references(other) if name not in references(draft)]
        if names and tries.may_be(other):
            again = tries.of(other)
            if any(reach.what.startswith(stand_ins.host(name)) for name in names for reach in again.reached):
                return other, again
    return draft, seen


def _with_guesses(tries: Tries, draft: Draft, seen: Seen) -> Draft:
    """It ended and named no variable: with those of its code that its words speak of, if it starts or says something else then (of another
    host, say: that is the one that it was given), and without those of which it does not. Where it asked somebody without, and says so, it knows
    an address."""
    words = needs.last_words(seen)
    if spoken := [name for name in draft.optional if needs.is_spoken_of(name, words)]:
        other = with_required(draft, spoken)
        if tries.may_be(other) and tries.of(other).report["started"]:
            return other
    knows = any(host in words for host in findings.names([seen]))
    names = needs.likely(seen, [name for name in unsaid(draft, seen) if not (knows and needs.ADDRESS.search(name))])
    if findings.uses_placeholder(seen):  # it knows enough to look for its operator's
        return draft
    if not names:
        return _with_those_that_it_starts_with(tries, draft)
    again = tries.of(with_named(draft, names))
    said = _said(again)
    instead: list[str] = []
    if not (again.report["started"] or said != _said(seen)):
        return draft
    for name in sorted(names, key=lambda one: (one in seen.report["documented"], not secret_values.ANYBODYS.fullmatch(one))):
        if not (less := [one for one in names if one != name]):
            break
        bare = tries.of(with_named(draft, less))
        if bare.report["started"] if again.report["started"] else _said(bare) == said:
            names, instead = less, [*instead, name]
    draft = with_named(draft, names)
    if holds_secret(names[0]) and (keys := [name for name in instead if holds_secret(name)]):
        draft = replace(draft, why=draft.why | {"instead": f"instead of {' and '.join(names)} it may take {', '.join(keys)}"})
    return replace(draft, secrets=(*draft.secrets, *instead), optional=(*draft.optional, *instead))


def _with_those_that_it_starts_with(tries: Tries, draft: Draft) -> Draft:
    """With those of its optional variables without which it does not start (or does not look for its operator's address), if it does with all."""

    def gets_on(names: list[str]) -> bool:
        again = tries.of(with_required(draft, names))
        return bool(again.report["started"]) or findings.uses_placeholder(again)

    names = [*draft.optional]
    if not 0 < len(names) <= MANY or not tries.may_be(with_required(draft, names)) or not gets_on(names):
        return draft
    for name in draft.optional:
        less = [one for one in names if one != name]
        names = less if gets_on(less) else names
    return with_required(draft, names)


def _said(seen: Seen) -> str:
    """Why it did not start, whichever host that was about."""
    return A_HOST.sub("", needs.last_words(seen))


def _with_own_places(tries: Tries, draft: Draft, seen: Seen) -> tuple[Draft, Seen]:
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
    if not tries.may_be(other):
        return draft, seen
    again = tries.of(other)

    def working(one: Seen) -> int:
        return sum(not call["complaint"] for call in one.report["calls"])

    if not again.report["started"] or working(again) <= working(seen):
        return draft, seen
    return replace(other, why=other.why | {"volumes": f"its code reads {', '.join(places)}, and works with it"}), again


def with_only_what_it_needs(tries: Tries, draft: Draft, seen: Seen) -> tuple[Draft, Seen]:
    """Without the variables that nobody calls required and that it does without: dropped, or optional where its publisher speaks of them."""
    lacking = tries.missing(draft)
    own = [name for name in draft.secrets if name not in draft.optional and draft.stored_as(name) in lacking]
    own += [name for name, value in draft.env.items() if value == f"${{{name}}}" and name in lacking]
    names = doubts.doubtful(own, seen)
    if tries.bench.asked or not names or not seen.report["started"]:
        return draft, seen
    bare = tries.of(without(draft, names))
    if (wanted := {*needs.missing(bare)} & {*names}) and (names := [name for name in names if name not in wanted]):
        bare = tries.of(without(draft, names))
    others, about = needs.ways(bare, own)
    if other_way := [name for name in others if name in draft.secrets and name not in draft.optional]:
        draft = replace(draft, optional=(*draft.optional, *other_way), why=draft.why | {"instead": about})
        names = [name for name in names if name not in other_way]
    of_its_door = list(filter(OWN_DOOR.search, names))
    needless = doubts.needless(names, seen, bare, {name: stand_ins.host(name) for name in names}, of_its_door)
    if not needless:
        return (draft, tries.of(draft)) if other_way else (draft, seen)
    dropped = {*seen.report["misspelt"], *of_its_door}
    told = [one["name"] for one in seen.report["published"] if one["name"] in needless and one["name"] not in dropped]
    better = without(draft, needless)
    if unread := [name for name in needless if name in seen.report["misspelt"]]:
        about = f"its README sets {notes.named(unread)}, which its code does not read, and it does the same without"
        better = replace(better, why=better.why | {"unread": about})
    files = tuple(name for name in draft.as_files if name in (*better.secrets, *told))
    better = replace(better, secrets=(*better.secrets, *told), optional=(*better.optional, *told), as_files=files)
    return better, bare if len(needless) == len(names) else tries.of(better)


def with_what_it_cannot_do_without(tries: Tries, draft: Draft, seen: Seen) -> tuple[Draft, Seen]:
    """With the optional keys, and what belongs to them, demanded, where most of its calls end before they ask anybody and get further with these:
    as few as do that."""
    names = _may_be_needed(draft)
    if tries.bench.asked or not (names and seen.report["started"] and doubts.is_stuck(seen)):
        return draft, seen
    given = tries.of(with_required(draft, names))
    if not doubts.gets_further(seen, given):
        return draft, seen
    others: list[str] = []
    for name in reversed(names):
        less = [one for one in names if one != name]
        if less and doubts.gets_further(seen, again := tries.of(with_required(draft, less))):
            names, given, others = less, again, [name, *others]
    if any(map(holds_secret, others)) and doubts.gets_further(seen, tries.of(with_required(draft, others))):
        draft = replace(draft, why=draft.why | {"instead": f"instead of {needs.all_of(names)} it takes {needs.all_of(others)}"})
    return with_required(draft, names), given


def _may_be_needed(draft: Draft) -> list[str]:
    """Its optional keys, but for those of which any is enough, and whose they are."""
    rest = [name for name in draft.optional if name not in re.findall(r"\w+", draft.why.get("instead", "")) and not TRUSTS.search(name)]
    keys = [name for name in rest if holds_secret(name) or name in draft.as_files]
    has_keys = any(map(holds_secret, draft.secrets))
    beside = [name for name in rest if name not in keys and WHOSE.search(name)] if has_keys else []
    return (keys + beside)[:MANY]
