"""kubernetes/: valid under strict schemas, hardened as a namespace with `restricted` demands, nothing open by default."""

import kubernetes_validate
import pytest
import yaml
from kinds import FLEET

from bridge.fleet.model import LiteLLM

FILES = {file.path: list(yaml.safe_load_all(file.text)) for file in FLEET.render("kubernetes")}
ALL = [document for documents in FILES.values() for document in documents]
FOREIGN = ("PodMonitor", "PrometheusRule", "Kustomization")  # no part of Kubernetes itself


def of(kind: str, name: str) -> dict:
    return next(one for one in ALL if one["kind"] == kind and one["metadata"]["name"] == name)


def pod(name: str) -> dict:
    return of("Deployment", name)["spec"]["template"]["spec"]


PODS = pytest.mark.parametrize("name", [one["metadata"]["name"] for one in ALL if one["kind"] == "Deployment"])


@pytest.mark.parametrize(
    "document", [one for one in ALL if one["kind"] not in FOREIGN], ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_every_manifest_is_valid(document):
    kubernetes_validate.validate(document, "1.31", strict=True)


@PODS
def test_every_pod_may_run_where_only_restricted_ones_may(name):
    spec, (container,) = pod(name), pod(name)["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert not any("hostPath" in volume for volume in spec["volumes"])
    assert container["resources"]["limits"]["memory"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


def test_nobody_talks_to_anybody_unless_it_says_so():
    deny = of("NetworkPolicy", "default-deny")["spec"]

    assert deny["podSelector"] == {} and deny["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in deny
    assert [port["port"] for rule in deny["egress"] for port in rule["ports"]] == [53, 53]
    assert {one["metadata"]["name"] for one in ALL if one["kind"] == "NetworkPolicy"} == {
        "default-deny",
        "to-mcps",
        "litellm",
        "git-host-egress",
        "query-egress",
    }


HASHES = [{"key": f"{name}_hash", "path": name} for name in ("operator_token", "bridge_token", "prometheus_token")]


def test_an_mcp_with_egress_does_not_reach_litellm_and_sees_a_hash():
    (rule,) = of("NetworkPolicy", "litellm")["spec"]["ingress"]
    secrets = next(one for one in pod("git-host")["volumes"] if one["name"] == "secrets")["projected"]["sources"]

    assert rule["from"][0]["podSelector"]["matchExpressions"] == [
        {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["mcp"]}
    ]
    assert secrets[0] == {"secret": {"name": "mcp-bridge", "items": HASHES}}


def test_secrets_are_named_and_never_made():
    assert not any(one["kind"] == "Secret" for one in ALL)
    sources = next(one for one in pod("git-host")["volumes"] if one["name"] == "secrets")["projected"]["sources"]
    environment = {one["name"]: one for one in pod("git-host")["containers"][0]["env"]}

    assert {"secret": {"name": "mcp-git-host", "items": [{"key": "HOST_TOKEN", "path": "host_token"}]}} in sources
    assert environment["MCP_BRIDGE_SECRET"]["value"] == "HOST_TOKEN=/run/secrets/host_token"
    assert environment["EXTRA"]["valueFrom"]["secretKeyRef"]["optional"] is True
    assert environment["HOST_URL"]["valueFrom"]["configMapKeyRef"] == {"name": "mcp-settings", "key": "HOST_URL"}


def test_sizes_are_kubernetes_own():
    """512m is Docker's half a gigabyte, and Kubernetes' half a byte."""
    assert pod("clock")["containers"][0]["resources"]["limits"]["memory"] == "512Mi"
    assert pod("git-host")["containers"][0]["resources"]["limits"] == {"memory": "1Gi", "cpu": "0.5"}


@PODS
def test_what_is_written_to_memory_has_a_limit(name):
    assert all(volume["emptyDir"]["sizeLimit"] for volume in pod(name)["volumes"] if volume.get("emptyDir", {}).get("medium") == "Memory")


def test_half_of_a_pods_memory_is_for_tmp():
    tmp = {one["name"]: one for one in pod("git-host")["volumes"]}["tmp"]

    assert tmp["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}  # of 1Gi


def test_volumes_are_claims():
    assert of("PersistentVolumeClaim", "notes-data") and of("PersistentVolumeClaim", "notes-1")
    mounts = {mount["mountPath"]: mount for mount in pod("notes")["containers"][0]["volumeMounts"]}

    assert mounts["/data"]["name"] == "notes-data" and mounts["/papers"]["readOnly"] is True


def test_references_are_their_defaults():
    assert pod("notes")["containers"][0]["args"] == ["notes", "--file", "/data/notes.json"]


def test_names_of_services_are_those_in_litellms_config():
    config = yaml.safe_load(of("ConfigMap", "litellm")["data"]["config.yaml"])

    assert config["mcp_servers"]["clock"]["url"] == "http://clock:8000/sse"
    assert of("Service", "clock")["spec"]["ports"][0]["port"] == 8000


def test_tests_own_mcps_stay_out():
    assert "kubernetes/script.yaml" not in FILES


def test_what_an_operator_has_to_make_is_said():
    text = next(file.text for file in FLEET.render("kubernetes") if file.path.endswith("kustomization.yaml"))

    assert "create secret generic mcp-git-host --from-literal=HOST_TOKEN=… [--from-literal=HOST_KEY=…]" in text
    assert "create configmap mcp-settings --from-literal=HOST_URL=…" in text


def test_a_kustomization_joins_them():
    (joined,) = FILES["kubernetes/kustomization.yaml"]

    assert {f"kubernetes/{name}" for name in joined["resources"]} | {"kubernetes/kustomization.yaml"} == set(FILES)


def test_litellms_database_is_the_operators_and_its_image_one_that_needs_no_root():
    fleet = FLEET.model_copy(update={"litellm": LiteLLM(database=True)})
    files = {file.path: file.text for file in fleet.render("kubernetes")}
    (container,) = next(one for one in yaml.safe_load_all(files["kubernetes/litellm.yaml"]) if one["kind"] == "Deployment")["spec"][
        "template"
    ]["spec"]["containers"]
    given = {one["name"]: one.get("valueFrom", {}).get("secretKeyRef", one.get("value")) for one in container["env"]}

    assert given["DATABASE_URL"] == {"name": "mcp-litellm", "key": "DATABASE_URL"}
    assert given["LITELLM_SALT_KEY"] == {"name": "mcp-litellm", "key": "LITELLM_SALT_KEY"} and given["STORE_MODEL_IN_DB"] == "False"
    assert container["image"] == "ghcr.io/berriai/litellm-non_root:v1.77.3-stable"
    assert "create secret generic mcp-litellm --from-literal=DATABASE_URL=" in files["kubernetes/kustomization.yaml"]
