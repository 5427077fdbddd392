"""Images that an update replaces are kept, found again by what they were made of, and left alone by `prune`; without Docker."""

import itertools

import pytest

from bridge.fleet import Fleet, Stanza
from bridge.fleet.engines import docker, images
from bridge.fleet.engines.compose import Compose
from bridge.fleet.project import Project

FLEET = Fleet(stanzas=[Stanza(name=name, pypi=[f"{name}==1"], command=[name]) for name in ("clock", "notes")])


@pytest.fixture
def store(monkeypatch) -> dict[str, str]:
    """The names of images, with their ids."""
    names: dict[str, str] = {}

    def asked(command, environment=None):
        if command[:3] == ["docker", "image", "tag"]:
            names[command[4]] = names[command[3]]
        return ""

    monkeypatch.setattr(docker, "asked", asked)
    monkeypatch.setattr(docker, "images", lambda *_: dict(names))
    monkeypatch.setattr(images.checkout, "name_of", lambda project: "mcp")
    monkeypatch.setattr(images.checkout, "details", lambda name: {})
    return names


@pytest.fixture
def engine(tmp_path, store, monkeypatch):
    (tmp_path / "bridge").mkdir()
    (tmp_path / "compose/door").mkdir(parents=True)
    (tmp_path / "compose/door/registry.json").write_text("clock 1")
    (tmp_path / "compose/door/door.conf").write_text("a port")
    for stanza in FLEET.stanzas:
        (tmp_path / "images" / stanza.name).mkdir(parents=True)
        (tmp_path / "images" / stanza.name / "requirements.lock").write_text("1")
    made = Compose(Project(tmp_path), lambda text: None)
    made.project_name, made.built_now, ids = "mcp", [], itertools.count()

    def build(todo, environment, say, built, make_room):
        for one in todo:
            made.built_now.append(one.name)
            store[f"mcp-{one.name}:latest"] = f"id{next(ids)}"
            built(one.name)
        return {}

    monkeypatch.setattr(images, "build", build)
    made._build(FLEET.stanzas)
    made.built_now.clear()
    return made


def version(engine, name: str, text: str) -> None:
    """Another version of it is to run, and the image that runs is kept."""
    engine._keep([name])
    (engine.project.images / name / "requirements.lock").write_text(text)
    engine._build(FLEET.stanzas)


def test_the_way_back_and_forth_builds_nothing(engine, store):
    first = store["mcp-clock:latest"]
    version(engine, "clock", "2")
    second = store["mcp-clock:latest"]
    assert engine.built_now == ["clock"] and second != first

    for text, expected in (("1", first), ("2", second), ("1", first)):
        version(engine, "clock", text)
        assert store["mcp-clock:latest"] == expected
    assert engine.built_now == ["clock"]


def test_an_image_is_kept_for_its_own_mcp_and_its_own_inputs_only(engine):
    """All share the bridge, and once the digests of these were taken for those of one image."""
    engine._keep(["clock", "notes"])
    version(engine, "clock", "2")
    version(engine, "notes", "1.1")

    assert engine.built_now == ["clock", "notes"]


def test_one_that_did_not_work_leaves_the_way_to_the_one_before_open(engine, store):
    version(engine, "clock", "2")
    version(engine, "clock", "3")
    version(engine, "clock", "2")  # it went back by itself
    engine.built_now.clear()
    version(engine, "clock", "1")

    assert engine.built_now == []


def test_the_door_is_not_built_anew_for_another_version_of_an_mcp_but_by_the_next_up(engine):
    registry, conf = engine.project.compose / "door/registry.json", engine.project.compose / "door/door.conf"
    registry.write_text("clock 2")
    engine.leaves_door = True
    engine._build(FLEET.stanzas)
    assert engine.built_now == []

    conf.write_text("another port")
    engine._build(FLEET.stanzas)
    assert engine.built_now == ["door"]
    registry.write_text("clock 3")
    engine.leaves_door = False
    engine._build(FLEET.stanzas)
    assert engine.built_now == ["door", "door"]


def test_another_page_for_people_is_another_door(engine):
    page = engine.project.root / "bridge/page/page.js"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("// another")
    engine._build(FLEET.stanzas)

    assert "door" in engine.built_now
    engine.built_now.clear()
    (engine.project.compose / "door/fleet.json").write_text("clock 2")
    engine.leaves_door = True
    engine._build(FLEET.stanzas)
    assert engine.built_now == []


def test_approving_tools_builds_nothing(engine):
    (engine.project.images / "clock/tools.lock.json").write_text("{}")
    engine._build(FLEET.stanzas)

    assert engine.built_now == []


def test_prune_keeps_the_image_before_the_last_update_and_no_older_one(engine, store):
    ids = [store["mcp-clock:latest"]]
    for text in "234":
        version(engine, "clock", text)
        ids.append(store["mcp-clock:latest"])
    unused = engine._built_images()

    assert ids[-2] not in unused.values()
    assert set(ids[:-2]) <= set(unused.values())


def test_killed_between_two_names_of_an_image_it_is_built_anew(engine, store, monkeypatch):
    version(engine, "clock", "2")
    (engine.project.images / "clock/requirements.lock").write_text("1")

    def killed(command, environment=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(docker, "asked", killed)
        engine._build(FLEET.stanzas)
    (engine.project.images / "clock/requirements.lock").write_text("3")
    engine._build(FLEET.stanzas)

    assert engine.built_now == ["clock", "clock"]
