"""A lock says what it was made from, has a hash for each package, and names no registry."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from support import ROOT

from bridge.fleet import Fleet, Stanza, lock, origins
from bridge.fleet.commands import up
from bridge.fleet.engines import packages
from bridge.fleet.engines.programs import Failed
from bridge.fleet.project import Project
from bridge.settings import UsageError

OURS = Project(ROOT)
FLEET = Fleet.load(ROOT / "images")
PYTHON = Stanza(name="clock", pypi=["six==1.17.0"], command=["six"], constraints=["attrs<30"])
NODE = Stanza(name="mark", npm=["is-odd@3.0.1"], command=["is-odd"], overrides=["is-number@6.0.0"])


@pytest.fixture
def project(tmp_path):
    (tmp_path / "images/clock").mkdir(parents=True)
    (tmp_path / "images/mark").mkdir()
    return Project(tmp_path)


def test_every_lock_of_ours_belongs_to_its_stanza_as_it_is_now():
    assert lock.unlocked(OURS, FLEET) == [], "mcp-bridge lock"


def locks() -> list:
    return sorted([*ROOT.glob("images/*.lock"), *ROOT.glob("images/*/requirements.lock"), *ROOT.glob("images/*/package-lock.json")])


def test_all_mcps_from_registries_are_locked():
    assert len(locks()) == 2 + sum(bool(lock.python_packages(stanza) or lock.node_manifest(stanza)) for stanza in FLEET.stanzas)


@pytest.mark.parametrize("path", locks(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_lock_has_hashes_and_no_addresses(path):
    text = path.read_text()

    assert not re.search(r"https?:|--(extra-)?index-url|--find-links|resolved", re.sub(r'"homepage".*', "", text))
    if path.suffix == ".json":
        entries = {place: entry for place, entry in json.loads(text)["packages"].items() if place}
        assert entries and all(entry["integrity"].startswith("sha512-") for entry in entries.values())
    else:
        packages = re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[.*?\])?==", text, re.MULTILINE | re.IGNORECASE)
        assert packages and len(re.findall(r"\\\n    --hash=sha256:", text)) >= len(packages)


def test_a_lock_made_from_the_stanza_as_it_is_now_is_not_made_again(project):
    (project.images / "clock/requirements.lock").write_text(lock.header(PYTHON) + "six==1.17.0\n")
    (project.images / "mark/package.json").write_text(lock.node_manifest(NODE))
    (project.images / "mark/package-lock.json").write_text("{}")

    assert lock.lock(project, PYTHON) == lock.lock(project, NODE) == []
    assert lock.unlocked(project, Fleet(stanzas=[PYTHON, NODE])) == []


@pytest.mark.parametrize("change", [{"pypi": ["six==1.16.0"]}, {"constraints": []}, {"overrides": ["six<2"]}, {"python": "3.12"}])
def test_a_change_that_matters_makes_it_stale(project, change):
    (project.images / "clock/requirements.lock").write_text(lock.header(PYTHON))

    assert not lock.is_locked(project, PYTHON.model_copy(update=change))
    assert lock.is_locked(project, PYTHON.model_copy(update={"description": "else"}))


def test_a_binary_for_two_architectures_is_two_packages_of_which_a_machine_takes_one():
    made = Stanza(name="go", binary={"npm": "go-{arch}@1.0.0", "path": "bin/go"}, command=["go"])

    assert json.loads(lock.node_manifest(made))["optionalDependencies"] == {"go-amd64": "1.0.0", "go-arm64": "1.0.0"}


def test_what_comes_from_no_registry_needs_no_lock(project):
    made = Stanza(name="own", command=["own"])

    assert lock.lock(project, made) == [] and lock.unlocked(project, Fleet(stanzas=[made])) == []


def test_a_binary_must_still_be_what_its_sum_says(project, tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    url = program.as_uri()
    good = Stanza(name="own", binary={"url": url, "sha256": {"amd64": lock.digest(url)}}, command=["program"])

    assert lock.lock(project, good) == []
    program.write_bytes(b"something else")
    with pytest.raises(lock.CannotLock, match=r"has sha256 .*, but binary\.sha256\.amd64 says"):
        lock.lock(project, good)


@pytest.mark.timeout(300)
def test_python_packages_are_locked_for_every_python_that_may_install_them(project):
    assert lock.lock(project, PYTHON) == ["images/clock/requirements.lock"]

    text = (project.images / "clock/requirements.lock").read_text()
    assert text.startswith("# Made by `mcp-bridge lock clock`; do not edit")
    assert "six==1.17.0 \\\n    --hash=sha256:" in text
    assert lock.lock(project, PYTHON) == []


@pytest.mark.timeout(300)
def test_npm_packages_are_locked_with_what_they_need(project):
    assert lock.lock(project, NODE) == [
        "images/mark/package-lock.json",
        "images/mark/package.json",
    ]  # what says that it is locked comes last

    packages = json.loads((project.images / "mark/package-lock.json").read_text())["packages"]
    assert packages["node_modules/is-number"]["version"] == "6.0.0"
    assert all("integrity" in entry and "resolved" not in entry for place, entry in packages.items() if place)


@pytest.mark.timeout(300)
def test_packages_that_do_not_exist_are_said_in_one_line_and_change_nothing(project):
    with pytest.raises(lock.CannotLock) as said:
        lock.lock(project, PYTHON.model_copy(update={"pypi": ["six==0.0.1"]}))

    assert "six==0.0.1" in str(said.value) and "\n" not in str(said.value)
    assert not any((project.images / "clock").iterdir())


def test_the_bridge_s_own_lock_follows_pyproject(project):
    shutil.copy(ROOT / "pyproject.toml", project.root)
    for name in ("bridge.lock", "installer.lock"):
        shutil.copy(ROOT / "images" / name, project.images)

    assert lock.lock_bridge(project) == []
    text = (project.root / "pyproject.toml").read_text()
    (project.root / "pyproject.toml").write_text(text.replace('"anyio>=', '"anyio!=1,>='))
    assert lock.unlocked(project, Fleet(stanzas=[])) == ["images/bridge.lock"]
    (project.images / "installer.lock").unlink()
    assert lock.unlocked(project, Fleet(stanzas=[])) == ["images/bridge.lock", "images/installer.lock"]


@pytest.mark.timeout(300)
def test_up_makes_the_lock_of_what_installs_where_it_is_missing(project):
    for name in ("pyproject.toml", "images/bridge.lock"):
        shutil.copy(ROOT / name, project.root / name)
    said = []
    up._lock_what_changed(project, Fleet(stanzas=[]), [], said.append)

    assert said == ["locking images/installer.lock"]
    assert "--hash=" in (project.images / "installer.lock").read_text()
    assert lock.unlocked(project, Fleet(stanzas=[])) == []


@pytest.mark.timeout(300)
def test_a_package_that_must_be_built_is_locked_only_where_the_stanza_says_so_and_its_code_runs_in_a_container(project):
    sdist = PYTHON.model_copy(update={"pypi": ["docopt==0.6.2"], "constraints": []})  # of 2014: a setup.py and no wheel

    with pytest.raises(lock.CannotLock, match="no wheel .* --build"):
        lock.lock(project, sdist)
    with pytest.raises(UsageError, match="no wheel .* --build"):
        origins.newest_of_pypi("docopt")


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_what_is_built_to_be_locked_is_built_in_a_container(project, monkeypatch):
    monkeypatch.setattr(lock, "_compiled", None)  # which is how it goes on this machine
    sdist = PYTHON.model_copy(update={"pypi": ["docopt==0.6.2"], "constraints": [], "build": True})

    lock.lock(project, sdist)

    text = (project.images / "clock/requirements.lock").read_text()
    assert "docopt==0.6.2" in text and "--hash=sha256:" in text and "# Build: yes" in text
    assert origins.newest_of_pypi("docopt", build=True) == "docopt==0.6.2"
    assert origins.look_at_pypi("docopt==0.6.2", build=True).description == "Pythonic argument parser, that will make you smile"


def test_the_programs_of_a_package_are_all_that_it_brings_into_bin(monkeypatch):
    """npm's `bin` may be a path alone; a wheel may bring scripts and executables instead of entry points."""
    monkeypatch.setattr(origins, "npm", lambda *_: json.dumps({"name": "@some/server", "version": "1.0.0", "bin": "./dist/index.js"}))

    assert origins.look_at_npm("@some/server").programs == ["server"]

    said = {"name": "@some/server", "version": "1.0.0", "bin": {"@some/server": "./dist/index.js", "other": "./other.js"}}
    monkeypatch.setattr(origins, "npm", lambda *_: json.dumps(said))

    assert origins.look_at_npm("@some/server").programs == ["server", "other"]  # npm links a name by its last part


@pytest.mark.parametrize("field", ["deprecated", "description"])
@pytest.mark.parametrize(
    "said, new",
    [
        ("DEPRECATED: renamed to @they/site-mcp. Install @they/site-mcp instead.", "@they/site-mcp"),
        ("This package is deprecated. Use `sitemcp` instead", "sitemcp"),
        ("Package no longer supported. Contact Support at https://www.npmjs.com/support for more info.", ""),
        ("Deprecated in favor of site-mcp-server", "site-mcp-server"),
        ("Moved to npm install @they/site@2", "@they/site"),
        ("This package has been renamed to `sitemcp`", "sitemcp"),
        ("deprecated, use the remote server instead", ""),
        ("Deprecated: renamed to @they/site-m\u0441p", ""),
        ("Deprecated: see https://they.io/a-b", ""),
        ("Use this server instead of typing", None),
        ("Lists deprecated-calls", None),
        ("Deprecated API finder", None),
        ("Detects files that have been renamed to something else", None),
        ("Warns when a package is deprecated or no longer maintained", None),
        ("[DEPRECATED] Site server", ""),
        ("Site server. This server is no longer maintained.", ""),
        ("Finds what was moved to trash", None),
    ],
)
def test_a_deprecated_package_is_told_with_what_its_publisher_names_in_its_place(monkeypatch, said, new, field):
    monkeypatch.setattr(origins, "npm", lambda *_: json.dumps({"name": "@me/it", "version": "1.0.0", "bin": "./x.js", field: said}))
    told = f"its publisher calls it deprecated ({said})" + (f": `mcp-bridge add --npm {new}` adds what that names" if new else "")

    assert origins.look_at_npm("@me/it").notes == [told] * (new is not None or field == "deprecated")


@pytest.mark.parametrize(
    "reason, told",
    [
        (
            ' (reason: "superceeded by they.site-mcp")',
            " (superceeded by they.site-mcp): `mcp-bridge add --pypi they.site-mcp` adds what that names",
        ),
        (' (reason: "use each alone")', " (use each alone)"),
        ("", ""),
    ],
)
def test_a_package_of_which_all_versions_were_withdrawn_says_so_and_not_that_it_has_no_wheel(monkeypatch, reason, told):
    def compiled(wanted, *_):
        above = "Because only it-mcp<=1.2 is available and you require it-mcp>99999999"
        raise Failed(["uv"], 1, above if ">99" in wanted[0] else "Because all versions of it-mcp have no usable wheels")

    monkeypatch.setattr(origins, "compiled", compiled)
    monkeypatch.setattr(origins, "run", lambda words, *_, **__: f"warning: `{words[-1]}` is yanked{reason}" * (words[-1] == "it-mcp==1.2"))

    with pytest.raises(UsageError) as refused:
        origins.newest_of_pypi("it-mcp")
    assert str(refused.value) == f"it-mcp: its publisher withdrew all its versions{told}"

    monkeypatch.setattr(origins, "run", lambda *_, **__: "")
    with pytest.raises(lock.NoWheel):
        origins.newest_of_pypi("it-mcp")


@pytest.mark.parametrize("systems, told", [('"darwin"', "darwin"), ('["darwin","win32"]', "darwin,win32")])
def test_a_package_of_npm_for_another_system_is_refused_with_where_to_run_it(monkeypatch, systems, told):
    said = f'npm error code EBADPLATFORM\nnpm error notsup Unsupported platform for it@1.0.0: wanted {{"os":{systems}}} (current: {{"os":"linux"}})'

    def npm(*_):
        raise Failed(["npm"], 1, said)

    monkeypatch.setattr(lock.packages, "node", lambda: Path("node"))
    monkeypatch.setattr(lock, "_npm_lock", npm)

    with pytest.raises(lock.CannotLock, match=f"it: it@1.0.0 is to be had for {told} only, and a container is Linux: let it run there"):
        lock._node_lock("it", "{}")


def test_an_executable_in_a_wheel_is_a_program():
    assert origins.look_at_pypi("uv==0.9.0").programs == ["uv", "uvx"]  # both are in its data/scripts, and Rust


@pytest.mark.timeout(300)
def test_a_lock_that_npm_ci_refuses_is_not_kept(project, monkeypatch):
    real = lock._npm

    def forgetful(node, folder, verb, *words):
        said = real(node, folder, verb, *words)
        if verb == "install":
            path = Path(folder, "package-lock.json")
            tree = json.loads(path.read_text())
            del tree["packages"]["node_modules/is-number"]
            path.write_text(json.dumps(tree))
        return said

    monkeypatch.setattr(lock, "_npm", forgetful)
    with pytest.raises(lock.Incomplete, match="`npm ci` refuses .* is-number@6.0.0 is missing") as said:
        lock.lock(project, NODE)
    assert said.value.missing == ["is-number@6.0.0"] and not any((project.images / "mark").iterdir())


@pytest.mark.timeout(300)
def test_a_lock_is_installed_from_wheels_unless_building_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setenv("MCP_BRIDGE_FLEET_CACHE", str(tmp_path / "cache"))
    sdist = tmp_path / "requirements.lock"
    sdist.write_text("docopt==0.6.2 --hash=sha256:49b3a825280bd66b3aa83585ef59c4a8c82f2c8a522dbe754a8bc8d08c85c491\n")

    with pytest.raises(Failed):
        packages.locked("old", sdist, "3.13")
    assert packages.locked("old", sdist, "3.13", build=True).exists()


def test_where_npm_itself_ends_over_peers_it_is_asked_to_leave_those(tmp_path, monkeypatch):
    made = []

    def npm(node, folder, *words):
        made.append("--legacy-peer-deps" in words)
        if not made[-1]:
            raise Failed(["npm"], 1, said)

    monkeypatch.setattr(lock, "_npm", npm)
    said = "npm error Cannot read properties of null (reading 'edgesOut')\n"
    lock._npm_lock(tmp_path, str(tmp_path))
    assert made == [False, True]

    said = "npm error code ERESOLVE\n"
    with pytest.raises(Failed):
        lock._npm_lock(tmp_path, str(tmp_path))
    assert made == [False, True, False]


def test_npm_s_reason_is_what_went_wrong_and_not_where_its_log_is():
    printed = "npm error code ETARGET\nnpm error notarget No matching version found for x@^9.\nnpm error A complete log of this run can be found in: /root/x.log\n"

    assert lock.npm_says(Failed(["npm"], 1, printed)) == "No matching version found for x@^9."


def test_npm_s_reason_for_a_package_that_is_not_there_is_one_sentence():
    printed = """npm error code E404
npm error 404 Not Found - GET https://registry.example/nothing - Not found
npm error 404
npm error 404  'nothing@1.0.0' is not in this registry.
npm error 404
npm error 404 Note that you can also install from a
npm error 404 tarball, folder, http url, or git url.
"""

    assert (
        lock.npm_says(Failed(["npm"], 1, printed))
        == "Not Found - GET https://registry.example/nothing - Not found 'nothing@1.0.0' is not in this registry."
    )


@pytest.mark.parametrize(
    "cause, what",
    [
        (
            "Because old>=1.4.0,<=1.4.4 has no usable wheels and only the following versions of old are available: old<=1.4.4",
            "old>=1.4.0,<=1.4.4",
        ),
        ("Because old[pandas]>=3.12.0,<=3.13.2 has no usable wheels and only the following", "old[pandas]>=3.12.0,<=3.13.2"),
        ("Because all versions of old-setup have no usable wheels and it>=1.0 depends on old-setup, we can conclude", "old-setup"),
    ],
)
def test_of_a_resolver_s_story_it_is_told_what_has_no_wheel(monkeypatch, cause, what):
    story = f"error: No solution found\n  cause: {cause}"

    def compiled(*_):
        raise Failed(["uv"], 1, story)

    monkeypatch.setattr(lock, "compiled", compiled)
    with pytest.raises(lock.NoWheel) as raised:
        lock._resolve("it", ["it==1.0"], "3.13")

    assert raised.value.reason == f"it: it cannot be had, because {what} has no usable wheels"


@pytest.mark.parametrize("has_an_older_one", [True, False])
def test_what_an_older_python_has_wheels_of_is_none_that_no_python_has(monkeypatch, has_an_older_one):
    def compiled(wanted, options, *_):
        if "--python-platform" in options or not (has_an_older_one and lock.OLDEST in options):
            raise Failed(["uv"], 1, "Because old==1.0 has no usable wheels and it==1.0 depends on old==1.0, we can conclude")
        return "old==1.0 --hash=x\n"

    monkeypatch.setattr(lock, "compiled", compiled)

    with pytest.raises(lock.NoWheel) as raised:
        lock._python_lock(Stanza(name="it", pypi=["it==1.0"], command=["it"]), ["it==1.0"])

    assert raised.value.for_any_python is not has_an_older_one


def test_what_is_to_be_had_for_windows_only_is_told_with_where_to_run_it(monkeypatch):
    """uv locks for every system, and is content with one; the image was the first to complain."""
    hint = "it has no wheels with a matching platform tag\nhint: Wheels are available for `desk5` (v5.0) on the following platform: `win_amd64`"

    def compiled(wanted, options, *_):
        if "--python-platform" in options:
            raise Failed(["uv"], 1, hint)
        return "desk5==5.0 --hash=x\n"

    monkeypatch.setattr(lock, "compiled", compiled)

    with pytest.raises(lock.CannotLock, match=r"^it: desk5 is to be had for win_amd64 only, and a container is Linux: let it run there, "):
        lock._python_lock(Stanza(name="it", pypi=["it==1.0"], command=["it"]), ["it==1.0"])


@pytest.mark.parametrize(
    "printed, why",
    [
        ("error: Request failed after 3 retries\n  cause: Connection refused (os error 111)", "Connection refused"),
        ("error: Failed to fetch\n  cause: dns error\n  cause: failed to lookup address information", "dns error"),
        ("npm error code EAI_AGAIN\nnpm error A complete log of this run can be found in: /root/x.log", "EAI_AGAIN"),
        (
            "npm error network request to … failed, reason: getaddrinfo ENOTFOUND code.example.com network This is",
            "ENOTFOUND code.example.com",
        ),
        ("npm error code ECONNREFUSED\nnpm error errno ECONNREFUSED", "ECONNREFUSED"),
        ("error: No solution found\n  cause: Because there is no version of it==9 …", ""),
    ],
)
def test_an_index_that_cannot_be_reached_is_not_said_to_lack_the_package(printed, why, monkeypatch):
    assert lock.unreached(printed) == why
    if not why:
        return

    def fails(*_, **__):
        raise Failed(["uv"], 1, printed)

    for name in ("compiled", "npm"):
        monkeypatch.setattr(origins, name, fails)
    monkeypatch.setattr(lock, "compiled", fails)
    for asked in (origins.newest_of_pypi, origins.look_at_npm):
        with pytest.raises(UsageError, match=rf"cannot (be reached|reach what it asks for) \({why}\): is this machine online"):
            asked("it")
    with pytest.raises(lock.CannotLock, match="cannot be reached"):
        lock._resolve("it", ["it==1.0"], "3.13")


@pytest.mark.parametrize(
    "package",
    ["it>=1\n--index-url=https:${BRIDGE_TOKEN}.example", "--index-url=https://example.com/simple", "-r/etc/passwd", "it==1\n-e.", ""],
)
def test_a_package_is_a_name_and_never_an_option_for_who_is_asked(package, monkeypatch):
    """A bundle and a client's file name packages, and uv fills ${VARIABLES} of this machine into options of a requirements file."""
    asked: list[object] = []
    for name in ("compiled", "npm"):
        monkeypatch.setattr(origins, name, lambda *words, **_: asked.append(words) or "it==1")

    with pytest.raises(UsageError, match="not a name of PyPI"):
        origins.newest_of_pypi(package)
    if package.startswith("-"):
        with pytest.raises(UsageError, match="not a name of npm"):
            origins.look_at_npm(package)
        with pytest.raises(UsageError, match="not the name of an image"):
            origins.look_at_image(package)
    assert asked == []


def test_an_image_that_a_registry_does_not_give_in_time_is_told_in_a_line(monkeypatch, tmp_path):
    """A registry that takes the connection and says nothing: the pull's patience ended in a stack."""
    (tmp_path / "docker").write_text('#!/bin/sh\n[ "$1" = pull ] && exec sleep 60\n[ "$1" = version ]\n')
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(origins, "PULL_PATIENCE", 0.2)
    origins.contained.is_there.cache_clear()

    [note] = origins.look_at_image("registry.example/it:1").notes

    assert note.startswith("registry.example/it:1 is not here and cannot be pulled (not done after 0.2 s): its digest is not known")
    origins.contained.is_there.cache_clear()


@pytest.mark.parametrize("package", ["it", "it[cli,ws]", "It.Is_it-1 >= 1.0, <2, !=1.5", "it~=1.4.2", "it (>=1.0)", "it>=1.0.*"])
def test_a_package_may_say_which_versions(package, monkeypatch):
    monkeypatch.setattr(origins, "compiled", lambda wanted, *_: "it==1.9\n" if wanted == [package] else "")

    assert origins.newest_of_pypi(package) == "it==1.9"


def test_packages_that_are_asked_for_together_get_versions_that_go_together(monkeypatch):
    together = ["It.Is_it[cli]", "other<2"]
    monkeypatch.setattr(origins, "compiled", lambda wanted, *_: "it-is-it==1.4\nother==1.9\nthird==3\n" if wanted == together else "")

    assert origins.newest_together(together) == ["It.Is_it[cli]==1.4", "other==1.9"]


def test_packages_go_together_on_the_python_that_they_are_for(monkeypatch):
    asked = []
    monkeypatch.setattr(origins, "compiled", lambda _, options, *__: asked.append(options) or "it==1.4\nother==1.9\n")

    assert origins.newest_together(["it", "other"], python="3.14") == ["it==1.4", "other==1.9"]
    assert asked[0][asked[0].index("--python-version") + 1] == "3.14"


@pytest.mark.parametrize("package, better", [("it==1.0", "it[x]==1.0"), ("it[a]==1.0", "it[a,x]==1.0"), ("it[a,b]==1.0", "it[a,b,x]==1.0")])
def test_an_extra_stands_beside_those_that_are_there(package, better):
    assert origins.with_extra(package, "x") == better


def test_where_nothing_goes_together_each_has_its_newest_and_the_lock_says_why(monkeypatch):
    def compiled(wanted, *_):
        if len(wanted) > 1:
            raise Failed("uv", 1, "No solution found")
        return f"{wanted[0].partition('<')[0]}==1.9\n"

    monkeypatch.setattr(origins, "compiled", compiled)

    assert origins.newest_together(["it", "other<2"]) == ["it==1.9", "other==1.9"]
    with pytest.raises(UsageError, match="not a name of PyPI"):
        origins.newest_together(["it", "--index-url=http://elsewhere.example"])


@pytest.mark.parametrize("build", [False, True])
def test_a_lock_that_has_no_wheels_for_the_image_s_python_is_made_for_that_one(monkeypatch, build):
    asked = []

    def compiled(wanted, options, *_):
        asked.append((wanted, options[options.index("--python-version") + 1]))
        if "--no-deps" in options:
            raise Failed(["uv"], 1, "cause: Because numpy==1.26.4 has no usable wheels")
        return "numpy==1.26.4 \\\n    --hash=sha256:x\n"

    monkeypatch.setattr(lock, "compiled", compiled)

    lock._python_lock(Stanza(name="it", pypi=["some-mcp==1.0"], command="some-mcp", build=build), ["some-mcp==1.0"])

    checked = [] if build else [(["numpy==1.26.4"], "3.13"), (["some-mcp==1.0"], "3.13"), (["numpy==1.26.4"], "3.13")]
    assert asked == [(["some-mcp==1.0"], "3.11"), *checked]
