"""Images, each built on its own. The builds are small programs here."""

import os
import sys

import pytest
from support import eventually

from bridge.fleet.engines import build_cache
from bridge.fleet.engines.build_cache import is_ours, size, wanted
from bridge.fleet.engines.builds import Build, build, step
from bridge.fleet.project import Project


def builds(folder, **programs: str) -> list[Build]:
    return [Build(name, [sys.executable, "-c", program], folder / f"{name}.log") for name, program in programs.items()]


def test_one_that_cannot_be_built_costs_the_others_nothing_and_is_named(tmp_path):
    said, built = [], []
    bad = "print('#7 1.2 npm error notarget No matching version found for x@9.\\n#7 npm error A complete log of this run can be found in: /x'); exit(1)"
    failed = build(builds(tmp_path, a="", bad=bad, b="", c=""), os.environ, said.append, built.append, lambda: said.append("room"))

    assert sorted(built) == ["a", "b", "c"]
    assert failed == {"bad": "No matching version found for x@9."}
    assert said == ["bad: cannot be built: No matching version found for x@9."]


def test_one_that_fills_the_disk_takes_no_other_with_it(tmp_path):
    """As on an engine whose disk was small: the others failed with it, each in words of its own, and what it had sent stayed there."""
    said, built = [], []
    full = tmp_path / "full"
    fills = f"open({str(full)!r}, 'w'); print('#9 1.2 write /x: no space left on device\\n#9 ERROR: exit code 1'); exit(1)"
    fails = f"""
import os, time
while not os.path.exists({str(tmp_path / "room")!r}):
    if os.path.exists({str(full)!r}):
        print('#7 2.1 E: write (28: No space left on device)\\n#7 2.2 E: Unable to fetch some archives'); exit(1)
    time.sleep(0.01)
"""

    def make_room():
        said.append("room")
        (tmp_path / "room").touch()

    failed = build(builds(tmp_path, big=fills, door=fails), os.environ, said.append, built.append, make_room)

    assert failed == {"big": "write /x: no space left on device"}
    assert built == ["door"]
    assert said[-5:] == [
        "room",
        "big: once more, by itself",
        "big: cannot be built: write /x: no space left on device",
        "room",
        "door: once more, by itself",
    ]


def test_an_interrupt_ends_what_is_building_and_keeps_what_was_built(tmp_path):
    built = []
    slow = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    def interrupted(name):
        built.append(name)
        eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(builds(tmp_path, quick="", slow=slow), os.environ, print, interrupted, print)

    assert built == ["quick"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("printed", "says"),
    [
        (
            "#9 [server 3/3] RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev\n#9 1.2 added 3 packages\n",
            "installing its packages",
        ),
        ("#2 [internal] load metadata for docker.io/library/node:22-slim\n", "looking for its base image"),
        ("#20 exporting to image\n#20 exporting layers\n", "writing the image"),
        ('#18 [stage-4 5/5] RUN --mount=type=tmpfs,target=/tmp ["/opt/bridge/bin/python", "-m", "bridge", "inspect"]\n', "trying its call"),
        ("", "building"),
    ],
)
def test_progress_is_in_words_for_people(printed, says):
    assert step(printed) == says


DOCKERFILE = """FROM python:3.13-slim AS server
COPY images/time/requirements.lock /opt/server/
RUN --mount=type=bind,from=installer,source=/opt/uv,target=/opt/uv --mount=type=cache,target=/root/.cache \\
    python -m venv --without-pip /opt/server \\
 && (uv pip install -r /opt/server/requirements.lock)
RUN --mount=type=tmpfs,target=/tmp ["/opt/bridge/bin/python", "-m", "bridge", "inspect"]
"""


@pytest.mark.parametrize(
    ("description", "ours"),
    [
        (
            "mount / from exec /bin/sh -c python -m venv --without-pip /opt/server  && (uv pip install -r /opt/server/requirements.lock)",
            True,
        ),
        ("[server 2/3] COPY images/time/requirements.lock /opt/server/", True),
        (
            'cached mount /root/.cache from exec /bin/sh -c python -m venv --without-pip /opt/server  && (uv pip install -r /opt/server/requirements.lock) with id "//root/.cache"',
            True,
        ),
        ("mount / from exec /bin/sh -c apt-get update", False),
        ("[2/3] COPY images/other/requirements.lock /opt/server/", False),
        ("pulled from docker.io/library/python:3.13-slim@sha256:da9", False),
        ("local source for context", False),
    ],
)
def test_of_the_engine_s_build_cache_only_this_project_s_is_freed(description, ours):
    assert is_ours(description, set(wanted(DOCKERFILE))) is ours


def test_what_was_freed():
    assert size("ID\tRECLAIMABLE\tSIZE\nabc\ttrue\t1.5kB\nTotal:\t1.5GB\n") == 1_500_000_000
    assert size("Total:\t0B\n") == size("") == 0


def test_what_takes_a_minute_is_said_before_it_is_begun(tmp_path, monkeypatch):
    """Of a large cache `prune` was silent until its end."""
    (tmp_path / "images/time").mkdir(parents=True)
    (tmp_path / "images/time/Dockerfile").write_text("FROM x\nRUN pip install what-this-server-needs\n")
    done = []
    ours = "ID:\ta\nDescription:\t[2/4] RUN pip install what-this-server-needs\n\nID:\tb\nDescription:\t[2/4] RUN pip install another\n\n"
    ours += "ID:\tc\nSize:\t1.3GB\nDescription:\tlocal source for context\n\nID:\td\nSize:\t216B\nDescription:\tlocal source for context\n"
    monkeypatch.setattr(build_cache, "run", lambda command, _: done.append(command[2]) or (ours if "du" in command else "Total:\t2MB"))

    assert build_cache.free(Project(tmp_path), done.append) == "2 MB"
    assert done == [
        "looking through Docker's build cache",
        "du",
        "freeing 2 pieces of it, of which Docker keeps those that others need",
        "prune",
    ]
