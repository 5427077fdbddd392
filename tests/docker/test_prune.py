"""`mcp-bridge prune` with a real engine: this project's images go, and nobody else's, however they are called."""

import io
import secrets
import subprocess
import tarfile

import pytest
from checkouts import docker, needs_docker

from bridge.fleet.engines import build_cache
from bridge.fleet.engines.compose import Compose
from bridge.fleet.project import Project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]


def empty_image(tag: str, project: str) -> None:
    packed = io.BytesIO()
    tarfile.open(fileobj=packed, mode="w").close()
    label = f"LABEL com.docker.compose.project={project}"
    subprocess.run(["docker", "import", "--change", label, "-", tag], input=packed.getvalue(), capture_output=True, check=True, timeout=60)


def test_images_of_another_project_whose_name_begins_with_ours_stay(tmp_path, monkeypatch):
    """`mcp-a1b2c3-time` is no image of the project `mcp`."""
    needs_docker()
    ours = f"mcp-prune-{secrets.token_hex(3)}"
    tags = {f"{ours}-time:latest": ours, f"{ours}-2-time:latest": f"{ours}-2"}
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose/.env").write_text(f"COMPOSE_PROJECT_NAME={ours}\n")
    monkeypatch.setattr(build_cache, "free", lambda project, say: "0 MB")  # the cache is everybody's
    try:
        for tag, project in tags.items():
            empty_image(tag, project)
        said = Compose(Project(tmp_path), print).prune()
        left = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={ours}-*")
    finally:
        subprocess.run(["docker", "image", "rm", *tags], capture_output=True, timeout=60)

    assert (said, left) == ("removed 1 images that nothing uses; freed 0 MB of build cache", f"{ours}-2-time:latest")
