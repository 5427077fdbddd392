"""Which of the variables that a draft demands are needed: what a trial without them shows. Pure.

An example that a README shows, a complaint or a guess makes a variable required, and a stanza with a required variable stays out of `up` until
somebody has a value for it. Only where the publisher says in words that it is required, no trial is asked.
"""

import re
from collections.abc import Collection

from bridge.fleet.adding.draft import holds_secret
from bridge.fleet.adding.trial import findings, needs
from bridge.fleet.adding.trial.calls import NO_NETWORK
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.adding.trial.witness import Made

# A name that code has where nobody says one.
A_STAND_IN = re.compile(r"(?:^|[.-])(?:your|my|example|domain|company|acme|localhost)(?:[.-]|$)", re.IGNORECASE)


def doubtful(names: Collection[str], seen: Seen) -> list[str]:
    """Of these, those that nobody calls required in words; what its code does not read; and addresses, as is seen who uses them."""
    told = {one["name"] for one in seen.report["published"] if one["needed"] and one["said"]} - {*seen.report["misspelt"]}
    return [name for name in names if name not in told or needs.ADDRESS.search(name)]


def needless(names: Collection[str], given: Seen, bare: Seen, hosts: dict[str, str], of_its_door: Collection[str] = ()) -> list[str]:
    """Of these variables, those that it does without. `given`: what was seen with all of them, `bare`: without any; `hosts`: what the trial
    gave for each in the place of an address; `of_its_door`: what only those have who come by HTTP."""
    if not bare.report["started"]:
        return []
    shown = {one["name"] for one in given.report["published"] if one["shown"]}
    is_alike = _works_alike(given, bare)
    others = {*findings.reached(bare)} - {*findings.reached(given)}
    has_other = any(not A_STAND_IN.search(one) for one in others)  # an address of its own
    asks = any(findings.asked(bare, call) for call in bare.report["calls"])
    found = []
    for name in names:
        is_used = any(reach.what.startswith(hosts[name]) for reach in given.reached)
        is_free = (
            has_other
            if is_used
            else is_alike or (asks and not holds_secret(name) and (name not in shown or bool(needs.ADDRESS.search(name))))
        )
        is_free |= name in {*given.report["misspelt"], *of_its_door} and _says_the_same(given, bare)
        if is_free and not _is_wanted(name, bare):
            found.append(name)
    return found


def is_stuck(bare: Seen) -> bool:
    """Whether most of its calls end before they ask anybody, or there are no tools."""
    return not bare.report["tools"] or 2 * len(_stuck(bare)) > len(needs.telling(bare))


def gets_further(bare: Seen, given: Seen) -> bool:
    """Whether most of its calls end in `bare` before they ask anybody, and work or ask somebody in `given`; or only that has tools."""
    if not bare.report["tools"]:
        return bool(given.report["tools"])
    further = _stuck(bare) & ({call["tool"] for call in needs.telling(given)} - _stuck(given))
    return bool(given.report["started"]) and 2 * len(further) > len(needs.telling(bare))


def _stuck(seen: Seen) -> set[str]:
    return {call["tool"] for call in needs.telling(seen) if call["complaint"] and not _tried_somebody(seen, call)}


def _tried_somebody(seen: Seen, call: Made) -> bool:
    """In that call, or before it, as its complaint says; but for a service in its own container."""
    is_here = findings.back_end(seen, call["began"], call["ended"])
    return findings.asks_somebody(seen, call) or bool(NO_NETWORK.search(call["complaint"]) and not is_here)


def _is_wanted(name: str, seen: Seen) -> bool:
    """Whether a call names it that failed before it asked anybody."""
    return any(re.search(rf"\b{name}\b", call["complaint"], re.ASCII) and not findings.asked(seen, call) for call in seen.report["calls"])


def _works_alike(given: Seen, bare: Seen) -> bool:
    """Whether most calls work without, the same as with, and nobody was asked for whom a key would be."""
    works = _working(bare)
    is_more = len(works) > 1 and 2 * len(works) >= len(needs.telling(bare))
    return is_more and works == _working(given) and not (given.reached or bare.reached or needs.wants_account(bare))


def _says_the_same(given: Seen, bare: Seen) -> bool:
    """Whether each call ends in the same words, and the same are asked."""
    said = [[(call["tool"], call["complaint"]) for call in one.report["calls"]] for one in (given, bare)]
    return said[0] == said[1] and {*findings.reached(given)} == {*findings.reached(bare)}


def _working(seen: Seen) -> set[str]:
    return {call["tool"] for call in needs.telling(seen) if not call["complaint"]}
