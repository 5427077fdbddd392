"""Releases of LiteLLM that are known to be bad are refused by name, wherever they are named."""

import pytest

from bridge.cli import main
from bridge.fleet import Fleet
from bridge.fleet.litellm_releases import why_not
from bridge.fleet.model import LiteLLM
from bridge.settings import UsageError


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "v1.82.7-stable", "main-v1.82.8", "1.107.0", "1.107.3", "v1.107", "1.107.0.dev1"])
def test_a_bad_release_is_refused_with_the_reason_and_the_way_out(version):
    assert "is not run" in why_not(version) and "take" in why_not(version)


@pytest.mark.parametrize(
    "version", ["1.77.3", "1.82.6", "1.82.70", "1.106.2", "1.108.0", "11.82.7", "1.82", "latest", "sha-1a82b7", "2.1.82.7"]
)
def test_others_are_run(version):
    assert why_not(version) == ""


@pytest.mark.parametrize(
    "said",
    [
        {"version": "1.82.8"},
        {"image": "ghcr.io/berriai/litellm:v1.82.7-stable"},
        {"image": f"reg.example:5000/litellm:1.107.1@sha256:{'a' * 64}"},
    ],
)
def test_a_fleet_does_not_take_it(said):
    with pytest.raises(ValueError, match="malicious code"):
        LiteLLM(**said)


def test_fleet_yaml_and_the_command_line_are_told(tmp_path, capsys):
    (tmp_path / "images/echo").mkdir(parents=True)
    (tmp_path / "images/echo/stanza.yaml").write_text("command: echo\n")

    assert main(["render", "--project", str(tmp_path), "--litellm-version", "1.82.7"]) == 2
    assert "steals credentials" in capsys.readouterr().err
    (tmp_path / "images/fleet.yaml").write_text("litellm:\n  version: 1.107.0\n")
    with pytest.raises(UsageError, match=r"fleet\.yaml:2: litellm\.version: LiteLLM 1\.107\.0 is not run"):
        Fleet.load(tmp_path / "images")
