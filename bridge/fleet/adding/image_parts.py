"""What an image is given besides its package, where a trial misses it: packages of Debian, of npm and of PyPI, a link, what must be compiled."""

from contextlib import suppress
from dataclasses import replace

from bridge.fleet import origins
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.mends import targets, with_driver, with_links, without_link
from bridge.fleet.adding.trial import dependencies, findings, needs
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.lock import tell
from bridge.fleet.parts import BROWSERS, listed, normalized
from bridge.settings import UsageError


def without_what_was_in_vain(draft: Draft, seen: Seen, tried: set[str]) -> Draft:
    """Without the packages of Debian's that were tried, where what they should bring is missed all the same; without a link to where it may
    write, where its package has that file itself."""
    draft = without_link(draft, findings.storage(seen, targets(draft)).inside)
    driver, called = dependencies.odbc(seen, str(draft.apt))
    in_vain = tried & {*dependencies.perhaps_of_debian(seen), *(BROWSERS if dependencies.wants_a_browser(seen) else ()), driver}
    if driver in in_vain:
        env = {name: value for name, value in draft.env.items() if not value.endswith(f":-{called}}}")}
        draft = replace(draft, env=env, why={name: one for name, one in draft.why.items() if name != "driver"})
    return replace(draft, apt=tuple(one for one in draft.apt if one not in in_vain))


def misses_what_a_package_should_bring(draft: Draft, seen: Seen) -> bool:
    return bool(dependencies.of_python(seen) if "pypi" in draft.source else dependencies.programs(seen))


def with_its_package(draft: Draft, seen: Seen, tried: set[str]) -> Draft | None:
    """With the package of npm that its README has installed besides, where that brings a program which it does not find; with the tools of
    Python's that it runs; with the extra that brings a module which it does not find."""
    module = needs.absent_module(seen) if "pypi" in draft.source else ""
    if module and module not in tried:
        tried.add(module)
        if other := _with_an_extra(draft, module):
            return other
    if new := [name for name in dependencies.of_python(seen) if "pypi" in draft.source and name not in tried]:
        tried.update(new)
        with suppress(UsageError):
            every = [*listed(draft.source["pypi"]), *new]
            found = origins.newest_together([*every, *draft.constraints], draft.build, draft.python or origins.PYTHON)[: len(every)]
            tell(f"{draft.name}: it runs {', '.join(new)}, which its environment has not; trying that")
            return replace(draft, source={"pypi": found})
    absent = set(dependencies.programs(seen)) if "npm" in draft.source else set()
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


def _with_an_extra(draft: Draft, module: str) -> Draft | None:
    package, *others = listed(draft.source["pypi"])
    with suppress(UsageError):
        about = origins.look_at_pypi(package, draft.build, draft.python or origins.PYTHON)
        fit = [name for name, brings in about.extras.items() if normalized(module) in map(normalized, brings)]
        if fit:
            extra = min(fit, key=lambda name: len(about.extras[name]))
            tell(f"{draft.name}: it imports {module}, which its extra {extra} brings; trying with that")
            return replace(draft, source={"pypi": [origins.with_extra(package, extra), *others]})
    return None


def with_more_in_its_image(draft: Draft, seen: Seen, tried: set[str]) -> Draft | None:
    """With the programs that it looks for, a link for what it writes in its package, or with its native add-ons compiled; None if it is not that, or was tried."""
    if seen.report["platform"]:  # of which no image has it
        return None
    if more := with_its_package(draft, seen, tried):
        return more
    started = [name for name in dependencies.may_start(seen) if name not in dependencies.AT_HAND]
    absent = dependencies.debian_packages([*dependencies.programs(seen), *started])
    wanted = [*absent, *dependencies.libraries(seen), *dependencies.browser(seen)]
    packages = [one for one in wanted or dependencies.perhaps_of_debian(seen) if one not in {*draft.apt, *tried}]
    addon = dependencies.native_addon(seen) if "npm" in draft.source and not draft.build else ""
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
