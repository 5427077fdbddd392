"""images/NAME/Dockerfile: what stands in it for each kind of server. That they build is shown in tests/docker."""

import json
import re

import pytest
from kinds import BESIDE, COMMAND, FETCHED, FLEET, NODE, PYTHON, QUERY, SECRETIVE, WHEEL, WRAPPED

from bridge.fleet import Fleet, Stanza
from bridge.fleet.targets.dockerfile import dockerfile
from bridge.fleet.targets.templates import browser

SIDECARS = pytest.mark.parametrize("stanza", FLEET.sidecars, ids=lambda stanza: stanza.name)


def text(stanza: Stanza, fleet: Fleet = FLEET) -> str:
    return dockerfile(fleet, stanza).text


def instructions(stanza: Stanza, of: str) -> list[str]:
    """All instructions of a kind, long lines joined."""
    joined = re.sub(r"\\\n\s*", "", text(stanza))
    return [line.removeprefix(f"{of} ") for line in joined.splitlines() if line.startswith(f"{of} ")]


@SIDECARS
def test_every_image_begins_alike_so_that_its_layers_are_shared(stanza):
    mine, first = (text(one).split("# The bridge itself.")[0] for one in (stanza, PYTHON))

    assert mine.replace("python:3.11-slim", "python:3.13-slim") == first


@SIDECARS
def test_every_image_runs_the_bridge_as_nobody_special(stanza):
    assert instructions(stanza, "USER") == ["10001:10001"]
    assert json.loads(instructions(stanza, "ENTRYPOINT")[0])[-5:] == ["-I", "-m", "bridge", "serve", "--"]
    assert "/readyz" in instructions(stanza, "HEALTHCHECK")[0]
    assert "MCP_BRIDGE_PROFILE=litellm" in text(stanza)
    assert "MCP_BRIDGE_ENV=*" in text(stanza)


@SIDECARS
def test_every_image_builds_with_old_engines(stanza):
    """Engine 20.10: no frontend is fetched, no heredocs, no COPY --link, no --start-interval."""
    for word in ("# syntax", "<<", "--link", "--start-interval", "--checksum"):
        assert word not in text(stanza)


@SIDECARS
def test_nothing_is_left_to_fill_in(stanza):
    assert "{{" not in text(stanza)
    assert "\n\n\n" not in text(stanza)


def test_a_python_server_has_exactly_what_its_lock_says():
    installs = [line for line in instructions(PYTHON, "RUN") if "pip" in line]

    assert len(installs) == 3  # what installs, the bridge's packages, the server's
    assert all(line.count("--require-hashes") == line.count("--no-deps") == line.count(" install ") for line in installs)
    assert "COPY images/clock/requirements.lock /opt/server/" in text(PYTHON)
    assert json.loads(instructions(PYTHON, "CMD")[0]) == ["mcp-server-time"]


def test_a_stanza_chooses_its_python():
    assert {line.split(" ")[0] for line in instructions(QUERY, "FROM")} == {"python:3.11-slim", "base"}
    assert "/opt/bridge/lib/python3.11/site-packages/bridge" in text(QUERY)


def test_a_fleet_chooses_its_base_images():
    fleet = FLEET.model_copy(update={"python_image": "my.host:5000/python:3.13-bookworm", "node_image": "my.host:5000/node:24"})

    assert "FROM my.host:5000/python:3.11-bookworm AS base" in text(QUERY, fleet)
    assert "COPY --from=my.host:5000/node:24 /usr/local/bin/node" in text(NODE, fleet)


def test_native_addons_are_compiled_without_network_where_the_stanza_says_so():
    """Headers and compiler are there: what a package's code does meanwhile reaches nobody, and lies in no other layer than its own."""
    lines = instructions(NODE.model_copy(update={"build": True}), "RUN")
    [compiled] = [line for line in lines if "npm rebuild" in line]

    assert compiled.startswith("--network=none ") and "binding.gyp" in compiled and "--no-run-if-empty" in compiled
    assert not [line for line in instructions(NODE, "RUN") if "rebuild" in line or "g++" in line]


def test_what_a_native_addon_is_compiled_with_stays_in_the_stage_that_compiles_and_its_library_comes_along():
    stanza = NODE.model_copy(update={"build": True, "apt": ["git", "libsecret-1-dev"]})

    tools, libraries = (line for line in instructions(stanza, "RUN") if "apt-get install" in line)
    assert "make g++ pkg-config libsecret-1-dev" in tools and "git" not in tools
    assert "git $(apt-cache depends libsecret-1-dev |" in libraries


def test_a_node_server_is_installed_without_install_scripts_and_takes_node_along():
    own = text(NODE)

    assert "npm ci --omit=dev --ignore-scripts" in own
    assert own.index("COPY --from=node:22-slim /usr/local/bin/node") < own.index("COPY --from=server")  # shared by all
    assert "npx" not in own


@pytest.mark.parametrize(
    ("stanza", "line"),
    [
        (SECRETIVE, 'RUN install -D "node_modules/git-host-linux-${TARGETARCH}/bin/git-host-${TARGETARCH}" /opt/server/bin/git-host'),
        (WHEEL, 'RUN install -D "/opt/package/wheel_mcp/bin/wheel-${TARGETARCH}" /opt/server/bin/wheel'),
        (BESIDE, 'RUN install -D "/opt/package/server-${TARGETARCH}" /opt/server/bin/server'),
        (
            FETCHED,
            (
                'RUN python /fetch.py "https://example.org/server-${TARGETARCH}.tar.gz" /opt/server/bin/server '
                '--path "dist/server" --sha256 $TARGETARCH '
                f"amd64={'aa' * 32} arm64={'bb' * 32}"
            ),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_binary_is_the_one_for_this_machine(stanza, line):
    assert line in text(stanza)
    assert "ARG TARGETARCH" in text(stanza)


def test_an_existing_image_stays_as_it_is_and_gets_a_bridge_that_needs_nothing_of_it():
    last = text(WRAPPED).split("FROM somebody/server:1\n")[1]

    assert json.loads(instructions(WRAPPED, "ENTRYPOINT")[0])[0] == "/opt/bridge/lib/ld.so"
    assert not re.search(r"^RUN (?!.*\[)", last, re.MULTILINE)  # it may have no shell
    assert "COPY --from=portable --chown=10001:10001 /opt/empty /data" in last
    assert "WORKDIR /srv" in last


def test_a_command_gets_its_debian_packages_and_its_files():
    assert any("apt-get install -y -qq --no-install-recommends jq git" in line for line in instructions(COMMAND, "RUN"))
    assert "COPY images/script/app /app" in text(COMMAND)


def test_a_file_that_a_package_insists_on_writing_in_itself_leads_elsewhere_unless_it_is_there():
    linked = Stanza.model_validate(
        {**PYTHON.model_dump(exclude_defaults=True), "volumes": ["it:/data"], "links": {"/opt/server/lib/a.db": "/data/a.db"}}
    )

    assert "test -e /opt/server/lib/a.db || { mkdir -p /opt/server/lib && ln -s /data/a.db /opt/server/lib/a.db; }" in instructions(
        linked, "RUN"
    )


def test_a_browser_of_debian_s_stands_where_programs_look_for_one(tmp_path):
    with_one = NODE.model_copy(update={"apt": ["chromium-headless-shell"]})
    listing = tmp_path / "opt/server/node_modules/playwright-core/browsers.json"
    for path in (listing, tmp_path / "usr/bin/chromium-headless-shell"):
        path.parent.mkdir(parents=True)
        path.touch()
    listing.write_text(
        json.dumps({"browsers": [{"name": "chromium-headless-shell", "revision": "1187"}, {"name": "ffmpeg", "revision": "1"}]})
    )
    browser.put(tmp_path)
    made = (tmp_path / browser.BROWSER).read_text()
    links = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_symlink()}

    assert "exec /usr/bin/chromium-headless-shell --headless --no-sandbox" in made
    assert {"opt/google/chrome/chrome", "opt/browser/chromium_headless_shell-1187/chrome-linux/headless_shell"} < links
    assert not [link for link in links if "ffmpeg" in link]
    assert "CHROME_PATH=/opt/browser/chromium" in text(with_one) and "browser.py" in text(with_one)
    assert "/opt/browser" not in text(NODE)


def test_the_smoke_call_is_made_while_the_image_is_built():
    call = instructions(PYTHON, "RUN")[-1]
    words = json.loads(call[call.index("[") :])

    assert call.startswith("--mount=type=tmpfs,target=/tmp ")
    assert words[words.index("--expect") :] == ["--expect", "UTC", "--call", "now", '{"zone": "UTC"}', "--", "mcp-server-time"]


def test_what_the_smoke_call_writes_into_a_volume_does_not_stay_in_the_image():
    call = instructions(NODE, "RUN")[-1]

    assert "--mount=type=tmpfs,target=/data --mount=type=tmpfs,target=/papers" in call
    assert "NOTES_FILE=/data/$1/notes.json" in call
    assert json.loads(instructions(NODE, "CMD")[0]) == ["notes", "--file", "/data/notes.json"]


def test_a_smoke_call_that_needs_more_than_the_image_waits_for_verify():
    assert "whoami" not in text(SECRETIVE)
