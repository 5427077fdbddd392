"""What starts a server on a desk: npx, uvx and their like name a package; node and python a file. Pure: words in, a draft out."""

import re
import shlex
from dataclasses import replace

from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.secrecy import REFERENCE, safe
from bridge.fleet.adding.wrapped import NotUnderstood, options_of, program_of

NPX_VALUES = {"-p", "--package", "-c", "--call", "--registry", "--cache", "--prefix", "--node-options", "-w", "--workspace", "--userconfig"}
UVX_VALUES = set(
    """--from --with --python -p --index --index-url --default-index --extra-index-url --directory --project --spec --env-file
    --with-editable --with-requirements --refresh-package --python-preference --constraints --overrides -i -f --find-links --cache-dir
    --link-mode --prerelease --resolution --exclude-newer --index-strategy --keyring-provider --config-file --allow-insecure-host
    --color""".split()
)
OF_A_PACKAGE = set("npx bunx pnpx pnpm yarn npm bun uvx uv pipx docker podman".split())  # what fetches a server before it starts it
DENO_VALUES = {"--config", "-c", "--import-map", "--lock", "--cert", "--env-file"}
OF_A_PROJECT = set(
    """dnx dotnet go cargo conda mamba micromamba poetry pdm hatch rye pixi nix nix-shell make just npm pnpm yarn bundle php composer mvn
    gradle ssh osascript open""".split()
)
LEFT_OUT = tuple(
    """--index --index-url --extra-index-url --default-index --directory --with-editable --with-requirements -i -f --find-links""".split()
)
# Where source code lies (OWNER/REPOSITORY is that of GitHub to npm), a file, another registry.
NOT_A_REGISTRY = re.compile(r"(github:|gitlab:|git\+|git@|https?:|\.|/|~|file:|jsr:|[A-Za-z]:[\\/]|[^@/\s]+/)")


def launched(draft: Draft, words: list[str]) -> tuple[Draft, list[str]]:
    """The draft with its source and its command, and what was left out. Raises NotUnderstood."""
    program = program_of(words[0])
    match program, words[1:]:
        case (
            ("npx" | "bunx" | "pnpx", rest)
            | ("pnpm" | "yarn", ["dlx" | "exec", *rest])
            | ("npm", ["exec" | "x", *rest])
            | ("bun", ["x", *rest])
        ):
            return _npx(draft, rest)
        case ("uvx", rest) | ("uv", ["tool", "run", *rest]) | ("uv", ["x", *rest]) | ("pipx", ["run", *rest]):
            return _uvx(draft, rest)
        case _:
            return _local(draft, program, words)


def _npx(draft: Draft, words: list[str]) -> tuple[Draft, list[str]]:
    options, rest = options_of(words, NPX_VALUES)
    packages = [value for name, value in options if name in ("-p", "--package")]
    called = next((value for name, value in options if name in ("-c", "--call")), "")
    rest = [*shlex.split(called), *rest] if called else rest
    if not packages and not rest:
        raise NotUnderstood("npx without a package")
    package = packages[0] if packages else rest.pop(0)
    check(package)
    notes = [f"{name}: left out" for name, _ in options if name in ("--registry", "--userconfig", "--prefix")]
    return replace(draft, source={"npm": _unpinned(package)}, command=tuple(rest)), notes


def _uvx(draft: Draft, words: list[str]) -> tuple[Draft, list[str]]:
    options, rest = options_of(words, UVX_VALUES)
    if not rest:
        raise NotUnderstood("uvx without a package")
    package = next((value for name, value in options if name in ("--from", "--spec")), "")
    program = rest.pop(0) if package else ""
    return _of_pypi(draft, [package or rest.pop(0), *(value for name, value in options if name == "--with")], (program, *rest), options)


def _of_pypi(draft: Draft, packages: list[str], command: tuple[str, ...], options: list[tuple[str, str]]) -> tuple[Draft, list[str]]:
    for package in packages:
        check(package)
    packages = [one.replace("@", "==").removesuffix("==latest") for one in packages]
    notes = [f"{name} {safe(value)}: left out" for name, value in options if name in LEFT_OUT]
    pythons = [found[0] for name, value in options if name in ("--python", "-p") and (found := re.search(r"\b3\.\d+", value))]
    notes += [f"it asks for Python {one}: `python: '{one}'` takes that, where the newest of images is not as good" for one in pythons]
    return replace(draft, source={"pypi": packages[0] if len(packages) == 1 else packages}, command=command), notes


def check(package: str) -> None:
    """Raises NotUnderstood for what is no name of a package in a registry."""
    if NOT_A_REGISTRY.match(package):
        raise NotUnderstood(f"{safe(package)} does not come from a registry: build it into an image of yours, and use `image`")
    if REFERENCE.search(package):
        raise NotUnderstood(f"its package is {safe(package)}, which only that client fills in: write its name")


def _local(draft: Draft, program: str, words: list[str]) -> tuple[Draft, list[str]]:
    """A program of that machine: its files must come into the image."""
    rest = words[1:]
    if program == "uv" and "run" in rest:
        before, after = rest[: rest.index("run")], rest[rest.index("run") + 1 :]
        options, rest = options_of(after, UVX_VALUES)
        options += options_of(before, UVX_VALUES)[0]
        where = next((value for name, value in options if name in ("--directory", "--project")), "")
        packages = [value for name, value in options if name == "--with"]
        if packages and rest and not where and rest[0] not in ("python", "python3"):
            return _of_pypi(draft, packages, tuple(rest), options)
        program = "python3" if rest and rest[0] in ("python", "python3") else "uv"
        rest = rest[1:] if program == "python3" else rest
        if program == "uv":
            raise NotUnderstood(
                f"`uv run` in {safe(where) or 'a folder of that machine'}: publish that package (`pypi`), or build it into an image of yours (`image`)"
            )
    if re.fullmatch(r"python[\d.]*|py", program):
        if rest[:1] == ["-m"]:
            return replace(draft, command=("python3", *rest)), [
                f"{rest[1] if rest[1:] else '?'} must be installed for it: if it comes from PyPI, take this stanza away and `mcp-bridge add {draft.name} --pypi PACKAGE`"
            ]
        return _script(draft, "python3", rest, ())
    if program == "deno":
        rest = rest[1:] if rest[:1] == ["run"] else rest
        _, rest = options_of(rest, DENO_VALUES)
        if rest and rest[0].startswith("npm:"):
            return replace(draft, source={"npm": _unpinned(rest[0].removeprefix("npm:").lstrip("/"))}, command=tuple(rest[1:])), []
        if rest and NOT_A_REGISTRY.match(rest[0]) and re.match(r"(https?|jsr):", rest[0]):
            check(rest[0])
        return _script(draft, "node", rest, ("nodejs",))
    if program in ("node", "bun", "tsx", "ts-node"):
        rest = rest[1:] if program == "bun" and rest[:1] == ["run"] else rest
        return _script(draft, "node", rest, ("nodejs",))
    if program == "java" and "-jar" in rest[:-1]:
        at = rest.index("-jar") + 1
        jar = rest[at].replace("\\", "/")
        return replace(
            draft,
            command=("java", *rest[:at], f"/app/{jar.rpartition('/')[2]}", *rest[at + 1 :]),
            files="app",
            apt=("default-jre-headless",),
        ), [f"copy {safe(jar)} to images/{draft.name}/app"]
    if program in OF_A_PROJECT:
        raise NotUnderstood(
            f"{program} builds or runs what is on that machine, or fetches it at each start: name its package, or build it into an image of yours (`image`)"
        )
    if len(words[0].replace("\\", "/").split("/")) > 1:
        name = words[0].replace("\\", "/").rpartition("/")[2]
        if re.search(r"\.(exe|bat|cmd|ps1|app)$", name, re.IGNORECASE):
            raise NotUnderstood(f"{safe(name)} is not a Linux program: name the package that it comes from")
        return replace(draft, source={"binary": {"file": name}}, command=(name, *rest)), [
            f"copy {safe(words[0])} to images/{draft.name}/{name}; it must be a Linux program"
        ]
    return replace(draft, command=tuple(words)), [f"{safe(words[0])!r} must be in the image: name the Debian package that has it in `apt`"]


def _script(draft: Draft, runtime: str, words: list[str], apt: tuple[str, ...]) -> tuple[Draft, list[str]]:
    at = next((number for number, word in enumerate(words) if not word.startswith("-")), None)
    if at is None:
        raise NotUnderstood(f"{runtime} without a file")
    path = words[at].replace("\\", "/")
    if found := re.search(r"(?:^|/)node_modules/((?:@[^/]+/)?[^/]+)/(.+)$", path):
        if found[1] in ("npm", "pnpm", "yarn"):  # the program npx is a script of theirs
            return _npx(draft, words[at + 1 :])
        return replace(draft, source={"npm": found[1]}, command=tuple(words[at + 1 :])), [
            f"{safe(path)} is of the npm package {found[1]}: that is taken"
        ]
    command = (runtime, *words[:at], f"/app/{path.rpartition('/')[2]}", *words[at + 1 :])
    return replace(draft, command=command, files="app", apt=apt), [
        f"copy {safe(path.rpartition('/')[0]) or '.'} (with what it imports) to images/{draft.name}/app"
    ]


def _unpinned(package: str) -> str:
    """Without a version that is none: @latest, @next, ^1."""
    name, _, version = package.rpartition("@")
    return name if name and not version[:1].isdigit() else package
