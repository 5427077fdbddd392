"""What BuildKit keeps of building this project's images. Its cache is the whole engine's, and says of each piece only by which
instruction it came about: ours are those that stand in a Dockerfile of this project. What was sent to be built from is removed, too, whoever
sent it: it is a copy that only saves sending it again, and may be as large as the files of the largest image.
"""

import re
from collections.abc import Iterable

from bridge.fleet.engines import Say
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.project import Project

PATIENCE = 300.0
SENT = "local source for "
WORTH_IT = ("MB", "GB", "TB")  # each build leaves some of a few bytes
AT_ONCE = 2000  # ids in one command: each looks through the whole cache, which takes seconds


def free(project: Project, say: Say) -> str:
    """Remove what is ours and not used; the size, in Docker's words. Of a large cache it takes minutes."""
    instructions = set()
    for path in (*project.images.glob("*/Dockerfile"), project.compose / "door/Dockerfile"):
        if path.exists():
            instructions |= set(wanted(path.read_text(encoding="utf-8")))
    say("looking through Docker's build cache")
    try:
        ids = [
            id
            for id, description, size in _records(run(["docker", "buildx", "du", "--verbose"], PATIENCE))
            if (description.startswith(SENT) and size.endswith(WORTH_IT)) or is_ours(description, instructions)
        ]
        freed = 0
        for start in range(0, len(ids), AT_ONCE):
            say(f"freeing {len(ids) - start} pieces of it, of which Docker keeps those that others need")
            said = run(["docker", "buildx", "prune", "--force", "--filter", f"id=^({'|'.join(ids[start : start + AT_ONCE])})$"], PATIENCE)
            freed += size(said)
    except Failed as error:
        return f"nothing ({error.reason})"
    return shown(freed)


def wanted(dockerfile: str) -> Iterable[str]:
    """The instructions by which BuildKit will name what it keeps, each in one line."""
    joined = re.sub(r"\\\n\s*", " ", dockerfile)
    for line in joined.splitlines():
        name, _, rest = line.partition(" ")
        if name in ("RUN", "COPY"):
            yield _bare(re.sub(r"^(--mount=\S+\s+)*", "", rest) if name == "RUN" else f"COPY {rest}")


def is_ours(description: str, instructions: set[str]) -> bool:
    """`[server 3/4] RUN pip install …`, `mount / from exec /bin/sh -c pip install …`, `[stage-4 1/4] COPY --from=server …`."""
    said = _bare(re.sub(r'^cached mount \S+ from exec |^mount \S+ from exec |^\[[^\]]*\] | with id "[^"]*"$', "", description))
    said = re.sub(r"^(RUN (--mount=\S+ )*)?(/bin/sh -c )?", "", said)
    return len(said) > 20 and said in instructions


def _records(printed: str) -> Iterable[tuple[str, str, str]]:
    for block in printed.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][\w ]*):\s+(.*)$", block, re.MULTILINE))
        if fields.get("ID") and fields.get("Description"):
            yield fields["ID"].strip(), fields["Description"].strip(), fields.get("Size", "").strip()


def _bare(text: str) -> str:
    return " ".join(text.split())


def size(printed: str) -> int:
    """What `buildx prune` says that it freed: `Total: 1.2GB`."""
    found = re.search(r"Total:?\s+([\d.]+)\s*([kMGT]?)B", printed)
    return int(float(found[1]) * 1000 ** " kMGT".index(found[2] or " ")) if found else 0


def shown(bytes: int) -> str:
    return f"{bytes / 1e9:.1f} GB" if bytes >= 1e9 else f"{bytes / 1e6:.0f} MB"
