"""Which commands start a container, and what is added to them. The engine itself: tests/docker/test_container_children.py."""

import os

import pytest

from bridge.child.containers import LABEL, _is_stale, _owner, engine_of, run

RUNS = {  # a command: what precedes the engine's own words, and what stands before our options
    "docker run -i --rm image": ("docker", "docker run"),
    "/usr/bin/docker run -i image run": ("/usr/bin/docker", "/usr/bin/docker run"),
    "docker container run image": ("docker", "docker container run"),
    "docker --context run -H=tcp://x run image": ("docker --context run -H=tcp://x", "docker --context run -H=tcp://x run"),
    "sudo -n docker run image": ("sudo -n docker", "sudo -n docker run"),
    "podman --remote run image": ("podman --remote", "podman --remote run"),
    "nerdctl -n default run image": ("nerdctl -n default", "nerdctl -n default run"),
    "docker compose -f a.yml run --rm server": ("docker", "docker compose -f a.yml run"),
    "docker exec -i container server": None,
    "docker start -ai container": None,
    "docker image run": None,
    "docker": None,
    "env DOCKER_HOST=tcp://x docker run image": ("env DOCKER_HOST=tcp://x docker", "env DOCKER_HOST=tcp://x docker run"),
    "node docker run": None,
    "python server.py --tool docker run": None,
    "npx -y docker run": None,
    "my-docker run": None,
}


@pytest.mark.parametrize("command", RUNS)
def test_a_container_is_known_by_its_command(command):
    argv = tuple(command.split())
    engine = engine_of(argv)
    if RUNS[command] is None:
        assert engine is None
        return
    whole, before = RUNS[command]

    assert engine.argv == tuple(whole.split())
    made = run(engine, argv)
    start = len(before.split())
    assert made.argv[:start] == argv[:start]
    added = made.argv[start : len(made.argv) - len(argv) + start]
    assert added[0] == f"--label={LABEL}={made.mark}"
    assert added[1:] == (() if "compose" in argv else (f"--cidfile={made.file}",))
    assert made.argv[start + len(added) :] == argv[start:]


def test_a_file_for_the_id_that_the_operator_wants_stays():
    argv = ("docker", "run", "--cidfile", "/x", "image")
    made = run(engine_of(argv), argv)

    assert made.file == ""
    assert made.argv == ("docker", "run", f"--label={LABEL}={made.mark}", "--cidfile", "/x", "image")


def test_only_containers_of_bridges_of_this_machine_that_are_gone_are_stale():
    ours = _owner(os.getpid())
    place = ours.rsplit(".", 2)[0]

    assert not _is_stale(f"{ours}.1")
    assert _is_stale(f"{place}.{os.getpid()}.1.1")  # our id, but of a process that started at another time
    assert _is_stale(f"{place}.999999999.5.1")
    assert not _is_stale(f"other-machine.{os.getpid()}.1.1")
    assert not _is_stale("")
    assert not _is_stale("words")
