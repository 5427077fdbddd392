"""Where the values go that `add` found: compose/.env, or a file of compose/secrets/. A name has one value.

All MCPs share these names, and two entries of a desktop client often call different keys API_KEY. The second is given a
name of its own, and its stanza hands that to the server as the secret that it knows (`from`).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from bridge.fleet import environment as environments
from bridge.fleet.adding.draft import Draft, references
from bridge.fleet.adding.elsewhere import Entry
from bridge.fleet.bounds import FLEET_NAMES
from bridge.fleet.environment import NEVER_EMPTY, PASSWORDS
from bridge.fleet.model import OF_DATABASE
from bridge.fleet.project import Project, private, write_private
from bridge.settings import UsageError

FLEETS_OWN = (*NEVER_EMPTY, *PASSWORDS, *OF_DATABASE, "DATABASE_URL", "DATABASE_URI", "bridge_token")
# A name that says nothing of whose it is: the next MCP may well ask for one of the same.
ANYBODYS = re.compile(
    r"((ACCESS|ACCOUNT|API|APP|AUTH|BASE|BEARER|CLIENT|CONNECTION|DATABASE|DB|DOCS|DOMAIN|EMAIL|ENDPOINT|HOST|HOSTNAME|ID|KEY|LOGIN|MCP|NAME|ORG|PASS|PASSWORD|PORT|PROJECT"
    r"|REFRESH|REGION|SECRET|SERVER|SERVICE|STRING|TENANT|TOKEN|URI|URL|USER|USERNAME|WORKSPACE)(_|$))+"
)
PLAIN = re.compile(r"[A-Za-z0-9_.,:/@%+=~-]+")


def there(project: Project) -> dict[str, str]:
    """The names that are taken, with their values. Raises UsageError."""
    values = environments.read(project).values
    return dict.fromkeys(FLEETS_OWN, "") | {name: value.removesuffix("\n") if "\n" in value else value for name, value in values.items()}


def names(draft: Draft) -> list[str]:
    """All that it wants from compose/.env and compose/secrets/."""
    headers = [value.removeprefix("os.environ/") for value in draft.static_headers.values() if value.startswith("os.environ/")]
    return list(
        dict.fromkeys([*map(draft.stored_as, draft.secrets), *references(draft), *filter(None, [draft.auth.get("value_env")]), *headers])
    )


def with_own_names(entry: Entry, known: Mapping[str, str], given: Mapping[str, str], reserved: Collection[str] = ()) -> Entry:
    """The entry, with other names for values whose names are taken. `known` are those of compose/, `given` those of other
    entries, without a value where none was found; `reserved` are never its own, nor is what the fleet calls so itself. Raises UsageError if a value can have no other name."""

    def is_taken(name: str, value: str) -> bool:
        return (
            name in reserved
            or bool(FLEET_NAMES.match(name))
            or ({**known, **given}.get(name, value) != value if value else bool(given.get(name)))
        )

    for name in names(entry.draft):
        value = entry.values.get(name, "")
        if is_taken(name, value):
            prefix = entry.draft.name.upper().replace("-", "_") + "_"
            is_fleets = FLEET_NAMES.match(name)
            wanted = name if name.startswith(prefix) and not is_fleets else prefix + name
            wanted = new = f"MY_{wanted}" if FLEET_NAMES.match(wanted) else wanted
            number = 1
            while new in names(entry.draft) or is_taken(new, value):
                number += 1
                new = f"{wanted}_{number}"
            says_nothing = not (name in given or known.get(name)) and ANYBODYS.fullmatch(name)
            taken = name in {**known, **given} and not says_nothing
            why = "is taken by another value" if taken else "is the fleet's own" if is_fleets else "does not say whose it is"
            entry = _renamed(entry, name, new, why)
        elif not value and known.get(name):
            entry = replace(
                entry,
                notes=(
                    *entry.notes,
                    f"{name}: it gets the value that is there already; if that is another's, write `from` with another name",
                ),
            )
    for name, value in entry.values.items():
        if name not in map(entry.draft.stored_as, entry.draft.secrets) and _line(name, value) is None:  # ${…} is only filled in from .env
            raise UsageError(
                f"{name}: no line of compose/.env can hold this value (it has several lines, or ' beside \" or $), and only a "
                f"variable of its own can come from a file: change the value, or the name of the variable there"
            )
    return entry


def apart(draft: Draft) -> Draft:
    """The draft, with other names in compose/.env for what the fleet calls so itself (POSTGRES_PASSWORD), which its server knows by its own."""
    renamed = with_own_names(Entry(draft), {}, {})
    told = "; ".join([*filter(None, [draft.why.get("apart")]), *renamed.notes])
    return replace(renamed.draft, why=draft.why | {"apart": told}) if renamed.notes else draft


def keep(project: Project, values: Mapping[str, str]) -> None:
    """Write what is not there yet: to compose/.env what a line can hold, else to a file."""
    known = there(project)
    values = {name: value for name, value in values.items() if name not in known}
    lines = [_line(name, value) for name, value in values.items()]
    if any(lines):
        before = project.env_file.read_text(encoding="utf-8") if project.env_file.exists() else ""
        write_private(project.env_file, before + ("\n" if before and not before.endswith("\n") else "") + "".join(filter(None, lines)))
    for (name, value), line in zip(values.items(), lines, strict=True):
        if line is None:
            # Who reads it takes one newline off the end.
            write_private(private(project.secrets) / name, value + "\n" * value.endswith("\n"))


def place(name: str, value: str) -> str:
    return "compose/.env" if _line(name, value) else f"compose/secrets/{name}"


def _renamed(entry: Entry, old: str, new: str, why: str) -> Entry:
    draft = entry.draft
    draft = replace(
        draft,
        env={name: value.replace(f"${{{old}}}", f"${{{new}}}") for name, value in draft.env.items()},
        stored=draft.stored | {name: new for name in draft.secrets if draft.stored_as(name) == old},
        command=tuple(word.replace(f"${{{old}}}", f"${{{new}}}") for word in draft.command),
        auth=draft.auth | ({"value_env": new} if draft.auth.get("value_env") == old else {}),
        static_headers={
            name: f"os.environ/{new}" if value == f"os.environ/{old}" else value for name, value in draft.static_headers.items()
        },
    )
    values = {new if name == old else name: value for name, value in entry.values.items()}
    return replace(entry, draft=draft, values=values, notes=(*entry.notes, f"{old} {why}: here it is {new}"))


def _line(name: str, value: str) -> str | None:
    """As both compose and we read it; None if there is no such line."""
    if PLAIN.fullmatch(value):
        return f"{name}={value}\n"
    if not value.isprintable() or value.endswith("\\"):  # compose would take \' for a quote
        return None
    if "'" not in value:
        return f"{name}='{value}'\n"
    return None if set(value) & set('"\\$`') else f'{name}="{value}"\n'
