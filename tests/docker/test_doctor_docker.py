"""What the doctor sees with a real engine, and with containers that find no names."""

import pytest
from checkouts import docker, needs_docker
from support import ROOT

from bridge.fleet import Fleet
from bridge.fleet.doctor import containers, examine
from bridge.fleet.doctor.finding import FAILED, OK, Patient
from bridge.fleet.engines import choice
from bridge.fleet.environment import Environment
from bridge.fleet.project import Project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]


@pytest.fixture
def patient() -> Patient:
    needs_docker()
    project = Project(ROOT)
    return Patient(project, Fleet.load(project.images), Environment({}), choice.engine("compose", project, print))


def test_all_is_well_and_nothing_is_left(patient):
    found = {
        one.name: one.state for one in examine(patient) if one.name not in ("ports", "registries")
    }  # others may have these, or no network

    assert found == dict.fromkeys(("Docker", "disk", "clock", "networks", "names"), OK)
    assert docker("network", "ls", "--quiet", "--filter", "name=mcp-bridge-doctor-") == ""


def test_containers_that_find_no_names_are_told_with_the_way_out(patient, monkeypatch):
    monkeypatch.setattr(containers, "RUN", [*containers.RUN, "--dns", "127.0.0.1"])
    state, seen, todo = containers.registries(patient)

    assert (state, seen.startswith("Python packages cannot be had in a container: ")) == (FAILED, True)
    assert '"dns" in /etc/docker/daemon.json' in todo, seen
