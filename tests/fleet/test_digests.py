"""Base images by digest: asked where a registry answers, and as they are called where none does."""

import pytest

from bridge.fleet import Fleet, Stanza, digests
from bridge.fleet.engines.programs import Failed
from bridge.fleet.project import Project
from bridge.settings import UsageError

FLEET = Fleet(
    stanzas=[
        Stanza(name="old", pypi="a==1", command="a", python="3.11"),
        Stanza(name="node", npm="a@1", command="a"),
        Stanza(name="fixed", image=f"x/y@sha256:{'a' * 64}", command="y"),
    ]
)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "images").mkdir()
    return Project(tmp_path)


def answers(monkeypatch, letter: str | None) -> None:
    """A registry that gives every image this digest; None: that does not answer."""

    def run(command, patience):
        if letter is None:
            raise Failed(command, 1, "ERROR: no such host")
        return f"sha256:{letter * 64}\n"

    monkeypatch.setattr(digests, "run", run)


def test_every_image_that_is_not_built_here_is_named_by_its_digest(project, monkeypatch):
    answers(monkeypatch, "b")
    changed, why = digests.lock(project, FLEET)
    fleet = FLEET.model_copy(update={"digests": digests.read(project.images)})
    text = {file.path: file.text for file in fleet.render()}

    assert (changed, why) == (["images/digests.lock"], {})
    assert f"FROM python:3.11-slim@sha256:{'b' * 64} AS base" in text["images/old/Dockerfile"]
    assert f"COPY --from=node:22-slim@sha256:{'b' * 64} " in text["images/node/Dockerfile"]
    assert f"FROM x/y@sha256:{'a' * 64}\n" in text["images/fixed/Dockerfile"]
    for path, image in (
        ("compose", "litellm:v1.77.3-stable"),
        ("compose", "prometheus:v2.53.3"),
        ("database", "postgres:17"),
        ("door", "python:3.13-slim"),
    ):
        assert f"{image}@sha256:{'b' * 64}\n" in text[f"compose/{path}.yaml"]


def test_what_is_locked_stays_until_it_shall_be_newer_and_what_nobody_answers_for_stays_by_name(project, monkeypatch):
    answers(monkeypatch, "b")
    digests.lock(project, FLEET)
    answers(monkeypatch, "c")

    assert digests.lock(project, FLEET) == ([], {})
    digests.lock(project, FLEET, upgrade=True)
    assert set(digests.read(project.images).values()) == {f"sha256:{'c' * 64}"}
    answers(monkeypatch, None)
    changed, why = digests.lock(project, FLEET, upgrade=True)
    assert changed == [] and set(why) == set(digests.read(project.images))
    (project.images / "digests.lock").unlink()
    assert digests.lock(project, FLEET)[0] == [] and not (project.images / "digests.lock").exists()


def test_a_damaged_lock_is_told_by_line(project):
    (project.images / "digests.lock").write_text("# x\npython:3.13-slim latest\n")

    with pytest.raises(UsageError, match=r"digests.lock:2: expected IMAGE sha256:DIGEST"):
        digests.read(project.images)
