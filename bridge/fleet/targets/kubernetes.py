"""kubernetes/: manifests for a cluster that you have. `kubectl apply -k kubernetes` after the images are where it finds them.

Secrets are named here and made by you: `mcp-bridge` (litellm_master_key; a token and its hash for the operator, LiteLLM and Prometheus) and `mcp-NAME` for each MCP
that has some. Variables without a default come from the ConfigMap `mcp-settings`, which is yours too. A stanza's volume is
a claim, because a hardened pod may not see its node's folders.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from zlib import crc32

from bridge.fleet import callers as known
from bridge.fleet.egress import NEVER_4
from bridge.fleet.files import MADE_BY, File, dump
from bridge.fleet.model import PORT, Fleet, no_groups
from bridge.fleet.parts import REFERENCE
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import egress as way_out
from bridge.fleet.targets import litellm as gateway
from bridge.fleet.targets import prometheus
from bridge.fleet.targets.compose import named_in
from bridge.fleet.targets.sidecar import APPROVED, CALLER_SECRETS, SECRETS, has_references, options, parts, scratch, secret_path, variables
from bridge.fleet.targets.template import fill, template
from bridge.pins.lock import FILE as PINS
from bridge.settings import UsageError

UID = 10001
TOKENS = ("operator_token", "bridge_token", "prometheus_token")  # the operator's, LiteLLM's, Prometheus'
CALLERS = "/run/callers"
KEYS, SETTINGS = "mcp-bridge", "mcp-settings"
RESTRICTED_POD = {"runAsNonRoot": True, "runAsUser": UID, "runAsGroup": UID, "fsGroup": UID, "seccompProfile": {"type": "RuntimeDefault"}}
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
ANYWHERE = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}  # but never the cloud's own metadata
WATCHER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def render(fleet: Fleet) -> Iterator[File]:
    """Raises UsageError."""
    if fleet.groups:
        raise UsageError(no_groups(fleet))
    parts = {stanza.name: sidecar(fleet, stanza) for stanza in fleet.sidecars if not stanza.tests_only}
    if fleet.listed:
        parts["egress"] = egress(fleet)
    parts |= {"callers": [callers(fleet)], "litellm": litellm(fleet), "network": network(fleet), "monitoring": monitoring(fleet)}
    for name, documents in parts.items():
        yield _file(name, documents)
    images = [
        {"name": image(fleet, stanza), "newName": image(fleet, stanza), "newTag": "latest"}
        for stanza in fleet.sidecars
        if not stanza.tests_only
    ]
    if fleet.listed:
        images.append({"name": f"{fleet.name}-egress", "newName": f"{fleet.name}-egress", "newTag": "latest"})
    yield _file(
        "kustomization",
        [
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "namespace": fleet.name,
                "resources": [f"{name}.yaml" for name in parts],
                "images": images,
            }
        ],
        _how(fleet),
    )


def image(fleet: Fleet, stanza: Stanza) -> str:
    return f"{fleet.name}-{stanza.name}"


def sidecar(fleet: Fleet, stanza: Stanza) -> list[dict[str, Any]]:
    """One MCP: what it keeps, the pod, its name in the cluster, and where it may go."""
    claims = {_claim(stanza, number): volume for number, volume in enumerate(stanza.volumes)}
    files = [name for name, secret in stanza.secrets.items() if not secret.is_per_caller and (secret.kind == "file" or not secret.optional)]
    given = [
        *(
            {"name": name, "value": escaped(value, references=False)}
            for name, value in (
                options(fleet, stanza, "", files)
                | {"MCP_BRIDGE_CALLERS": f"{CALLERS}/{known.SHIPPED}"}
                | ({"MCP_BRIDGE_AUDIT": "-"} if fleet.audit else {})
            ).items()
        ),
        *(_variable(name, value) for name, value in (_proxied(fleet, stanza) | variables(stanza)).items()),
    ]
    needed = [
        {"name": name, "valueFrom": {"configMapKeyRef": {"name": SETTINGS, "key": name}}}
        for name in stanza.required_variables
        if name not in stanza.env
    ]
    optional = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": f"mcp-{stanza.name}", "key": name, "optional": True}}}
        for name in stanza.secrets
        if name not in files
    ]
    container: dict[str, Any] = {
        "name": "mcp",
        "image": image(fleet, stanza),
        "imagePullPolicy": "IfNotPresent",
        "env": [*needed, *given, *optional],
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": _probe("/readyz", periodSeconds=2, failureThreshold=60),
        "readinessProbe": _probe("/readyz", periodSeconds=10),
        "livenessProbe": _probe("/healthz", periodSeconds=20),
        "resources": _resources(stanza),
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "callers", "mountPath": CALLERS, "readOnly": True},
            *(
                {"name": name, "mountPath": volume.target, **({"readOnly": True} if volume.read_only else {})}
                for name, volume in claims.items()
            ),
        ],
    }
    volumes = [
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": _bytes(scratch(stanza.limits.memory))}},
        {"name": "secrets", "projected": {"defaultMode": 0o444, "sources": _secret_sources(stanza, files)}},
        {"name": "callers", "configMap": {"name": "callers"}},
        *({"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims),
    ]
    if stanza.pin != "off":
        container["volumeMounts"].append({"name": "approved", "mountPath": APPROVED, "readOnly": True})
        volumes.append({"name": "approved", "configMap": {"name": f"mcp-{stanza.name}-tools", "optional": True}})
    for name in map(stanza.stored, stanza.caller_secrets):
        place, secret = _callers(stanza, name), {"secretName": _callers(stanza, name), "optional": True, "defaultMode": 0o444}
        container["volumeMounts"].append({"name": place, "mountPath": f"{CALLER_SECRETS}/{name}", "readOnly": True})
        volumes.append({"name": place, "secret": secret})  # what is added to it is there within a minute or so
    if stanza.limits.shm:
        container["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": _bytes(stanza.limits.shm)}})
    if has_references(stanza.command):
        container["args"] = [escaped(word) for word in stanza.command]
    labels = {**_labels(stanza.name), "app.kubernetes.io/component": "mcp"}
    documents = [
        _of(
            "v1",
            "PersistentVolumeClaim",
            name,
            labels,
            spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        )
        for name in claims
    ]
    documents += [_deployment(stanza.name, labels, container, volumes), _service(stanza.name, labels, PORT)]
    if leaves := _leaves(fleet, stanza):
        documents.append(_policy(f"{stanza.name}-egress", labels, {"matchLabels": labels}, egress=leaves))
    return documents


def egress(fleet: Fleet) -> list[dict[str, Any]]:
    """The proxy of MCPs with a list. It knows each by the port at which it may ask, where no other pod may."""
    labels, ports = _labels("egress"), _ports(fleet)
    container = {
        "name": "egress",
        "image": f"{fleet.name}-egress",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": _probe("/readyz", periodSeconds=2, failureThreshold=30),
        "readinessProbe": _probe("/readyz", periodSeconds=5),
        "livenessProbe": _probe("/readyz", periodSeconds=20),
        "resources": {"requests": {"cpu": "10m", "memory": "96Mi"}, "limits": {"memory": "384Mi"}},
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            *(
                {"name": "lists", "mountPath": f"{way_out.FOLDER}/{name}", "subPath": name, "readOnly": True}
                for name in way_out.conf(fleet)
            ),
        ],
    }
    volumes = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}, {"name": "lists", "configMap": {"name": "egress"}}]
    lists = way_out.conf(fleet, ports)
    deployment = _deployment("egress", labels, container, volumes)
    pod = deployment["spec"]["template"]
    pod["metadata"] = {"labels": labels, "annotations": {"mcp-bridge/lists": sha256("".join(lists.values()).encode()).hexdigest()}}
    pod["spec"]["securityContext"] = RESTRICTED_POD | {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
    service = _of(
        "v1",
        "Service",
        "egress",
        labels,
        spec={"selector": labels, "ports": [{"name": name, "port": port} for name, port in ports.items()]},
    )
    asked = [
        {"from": [{"podSelector": {"matchLabels": _labels(name)}}], "ports": [{"protocol": "TCP", "port": port}]}
        for name, port in ports.items()
    ]
    watched = [{"from": [WATCHER], "ports": [{"protocol": "TCP", "port": PORT}]}]
    public = {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(NEVER_4)}}
    return [
        _of("v1", "ConfigMap", "egress", labels, data=lists),
        deployment,
        service,
        _policy("egress", labels, {"matchLabels": labels}, ingress=[*asked, *watched], egress=[{"to": [public]}]),
    ]


def _ports(fleet: Fleet) -> dict[str, int]:
    """Where each MCP with a list asks: by its name, so that a new one moves no other but where two would have the same."""
    ports: dict[str, int] = {}
    for stanza in fleet.listed:
        port = 20000 + crc32(stanza.name.encode()) % 10000
        while port in ports.values():
            port += 1
        ports[stanza.name] = port
    return ports


def _proxied(fleet: Fleet, stanza: Stanza) -> dict[str, str]:
    return way_out.proxied(f"http://egress:{_ports(fleet)[stanza.name]}", stanza.needs) if stanza.reaches else {}


def callers(fleet: Fleet) -> dict[str, Any]:
    """Who may do what: hashes and rules, no secret. Pods see a change within a minute or so."""
    told = known.shipped(fleet.callers, litellm_may=fleet.litellm_may)
    of_own = {known.OPERATOR: "operator_token", known.LITELLM: "bridge_token", known.PROMETHEUS: "prometheus_token"}
    told["callers"] |= {name: told["callers"][name] | {"token_file": f"{SECRETS}/{key}"} for name, key in of_own.items()}
    return _of("v1", "ConfigMap", "callers", {"app.kubernetes.io/part-of": "mcp-bridge"}, data={known.SHIPPED: dump(told)})


def litellm(fleet: Fleet) -> list[dict[str, Any]]:
    labels = _labels("litellm")
    users = fleet.model_copy(update={"stanzas": [stanza for stanza in fleet.stanzas if not stanza.tests_only]})
    config = gateway.config(users)
    others = [name for name in named_in(config) if name not in ("LITELLM_MASTER_KEY", "BRIDGE_TOKEN")]
    own = fleet.litellm.database
    of_database = ["DATABASE_URL", "LITELLM_SALT_KEY"] if own else []
    alive = {
        "exec": {"command": ["python3", "-c", fill(template("litellm_health.py"), {"key": 'os.environ["LITELLM_MASTER_KEY"]'})]},
        "periodSeconds": 20,
        "timeoutSeconds": 8,
    }
    container = {
        "name": "litellm",
        "image": fleet.pinned(_image_of_litellm(fleet)),
        "args": ["--config", "/etc/litellm/config.yaml", "--port", "4000"],
        "env": [
            {"name": "LITELLM_MASTER_KEY", "valueFrom": {"secretKeyRef": {"name": KEYS, "key": "litellm_master_key"}}},
            {"name": "BRIDGE_TOKEN", "valueFrom": {"secretKeyRef": {"name": KEYS, "key": "bridge_token"}}},
            *({"name": name, "valueFrom": {"secretKeyRef": {"name": "mcp-litellm", "key": name, "optional": True}}} for name in others),
            *({"name": name, "valueFrom": {"secretKeyRef": {"name": "mcp-litellm", "key": name}}} for name in of_database),
            *([{"name": "STORE_MODEL_IN_DB", "value": str(fleet.litellm.store_model_in_db)}] if own else []),
            {"name": "LITELLM_LOCAL_MODEL_COST_MAP", "value": "True"},
            {"name": "HOME", "value": "/tmp"},
        ],
        "ports": [{"name": "http", "containerPort": 4000}],
        "startupProbe": {"httpGet": {"path": "/health/liveliness", "port": "http"}, "periodSeconds": 5, "failureThreshold": 60},
        "readinessProbe": {"httpGet": {"path": "/health/liveliness", "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 5},
        "livenessProbe": alive,
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "config", "mountPath": "/etc/litellm", "readOnly": True}],
    }
    volumes = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}, {"name": "config", "configMap": {"name": "litellm"}}]
    return [
        _of("v1", "ConfigMap", "litellm", labels, data={"config.yaml": dump(config)}),
        _deployment("litellm", labels, container, volumes),
        _service("litellm", labels, 4000),
    ]


def _image_of_litellm(fleet: Fleet) -> str:
    """With a database the usual one runs as root only, which the namespace does not allow (compose.py: `as_root`)."""
    said = fleet.litellm
    return said.image_name.replace("/litellm:", "/litellm-non_root:") if said.database and not said.image else said.image_name


def network(fleet: Fleet) -> list[dict[str, Any]]:
    """The namespace, and who may talk to whom in it: nobody, but for what stands here and beside each MCP."""
    dns = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }
    mcps = {"matchLabels": {"app.kubernetes.io/component": "mcp", "app.kubernetes.io/part-of": "mcp-bridge"}}
    client = {"podSelector": {"matchLabels": _labels("litellm")}}
    part = {"app.kubernetes.io/part-of": "mcp-bridge"}
    but_mcps = [
        {"podSelector": {"matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["mcp"]}]}},
        {"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [fleet.name]}]}},
    ]
    return [
        _of("v1", "Namespace", fleet.name, {**part, "pod-security.kubernetes.io/enforce": "restricted"}),
        _policy("default-deny", part, {}, ingress=[], egress=[dns]),
        _policy("to-mcps", part, mcps, ingress=[{"from": [client, WATCHER], "ports": [{"protocol": "TCP", "port": PORT}]}]),
        _policy(
            "litellm",
            part,
            {"matchLabels": _labels("litellm")},
            ingress=[{"from": but_mcps, "ports": [{"protocol": "TCP", "port": 4000}]}],
            egress=[{"to": [{"podSelector": mcps}], "ports": [{"protocol": "TCP", "port": PORT}]}, {"to": [ANYWHERE]}],
        ),
    ]


def monitoring(fleet: Fleet) -> list[dict[str, Any]]:
    """For the Prometheus operator."""
    part = {"app.kubernetes.io/part-of": "mcp-bridge"}
    monitor = {
        "selector": {"matchLabels": {**part, "app.kubernetes.io/component": "mcp"}},
        "podMetricsEndpoints": [
            {
                "port": "http",
                "path": "/metrics",
                "interval": "15s",
                "honorLabels": True,
                "authorization": {"type": "Bearer", "credentials": {"name": KEYS, "key": "prometheus_token"}},
                "relabelings": [
                    {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "targetLabel": "mcp"},
                    {"targetLabel": "job", "replacement": "mcp"},  # as the alerts call it
                ],
            }
        ],
    }
    job = {"targetLabel": "job", "replacement": "egress"}
    of_proxy = {
        "selector": {"matchLabels": _labels("egress")},
        "podMetricsEndpoints": [{"port": "http", "path": "/metrics", "interval": "15s", "honorLabels": True, "relabelings": [job]}],
    }
    return [
        _of("monitoring.coreos.com/v1", "PodMonitor", "mcp", part, spec=monitor),
        *([_of("monitoring.coreos.com/v1", "PodMonitor", "egress", part, spec=of_proxy)] if fleet.listed else []),
        _of("monitoring.coreos.com/v1", "PrometheusRule", "mcp", part, spec=prometheus.alerts()),
    ]


def _file(name: str, documents: list[dict[str, Any]], note: str = "") -> File:
    about = "".join(f"# {line}".rstrip() + "\n" for line in (MADE_BY, *note.splitlines()))
    return File(f"kubernetes/{name}.yaml", about + "---\n".join(map(dump, documents)))


def _how(fleet: Fleet) -> str:
    """What is there to do before `kubectl apply -k`: images, secrets and settings are the operator's."""
    lines = [
        "",
        "1. Push the images, and say in an overlay of this file where they are (`images`: newName, newTag).",
        "2. kubectl apply -f network.yaml, then make what the manifests name and do not hold (leave out of an overlay what you do not want):",
        f"   kubectl -n {fleet.name} create secret generic {KEYS} --from-literal=litellm_master_key=… \\",
        " \\\n".join(f"     --from-literal={key}=TOKEN --from-literal={key}_hash=HASH" for key in TOKENS),
        "   (`mcp-bridge token` makes a token and its hash: MCPs see hashes only. They are the operator's, LiteLLM's and Prometheus')",
    ]
    if fleet.litellm.database:
        lines += [
            f"   kubectl -n {fleet.name} create secret generic mcp-litellm --from-literal=DATABASE_URL=postgresql://… --from-literal=LITELLM_SALT_KEY=sk-…",
            "   (LiteLLM's database is a Postgres of yours, with an empty database; keep the salt, without it what LiteLLM stored cannot be read.",
            "   Nobody makes the callers' LiteLLM keys here: without one they call the MCPs at their own addresses)",
        ]
    if fleet.listed:
        lines += [
            f"   {', '.join(stanza.name for stanza in fleet.listed)}: reach the names of their lists only, by the proxy `egress`; with a network that",
            "   enforces NetworkPolicy. They can still ask the cluster's name server for any name, which can carry data out",
        ]
    for stanza in fleet.sidecars:
        if stanza.secrets and not stanza.tests_only:
            keys = " ".join(
                f"[--from-literal={name}=…]" if secret.optional or secret.is_per_caller else f"--from-literal={name}=…"
                for name, secret in stanza.secrets.items()
            )
            lines.append(f"   kubectl -n {fleet.name} create secret generic mcp-{stanza.name} {keys}")
        lines += [
            f"   kubectl -n {fleet.name} create secret generic {_callers(stanza, stanza.stored(name))} --from-literal=CALLER=…     (each caller's {name})"
            for name in stanza.caller_secrets
            if not stanza.tests_only
        ]
    if pinned := [stanza.name for stanza in fleet.sidecars if stanza.pin != "off" and not stanza.tests_only]:
        lines += [
            f"   for mcp in {' '.join(pinned)}; do     # those with approved tools; pods see a change within a minute",
            f"     kubectl -n {fleet.name} create configmap mcp-$mcp-tools --from-file=images/$mcp/{PINS}; done",
        ]
    settings = dict.fromkeys(name for stanza in fleet.sidecars if not stanza.tests_only for name in stanza.required_variables)
    if settings:
        lines.append(f"   kubectl -n {fleet.name} create configmap {SETTINGS} {' '.join(f'--from-literal={name}=…' for name in settings)}")
    lines += [
        f"   {stanza.name} does without Docker's socket here, which its stanza grants: no cluster gives it"
        for stanza in fleet.sidecars
        if stanza.grants
    ]
    return "\n".join([*lines, "3. kubectl apply -k ."])


def _of(version: str, kind: str, name: str, labels: dict[str, str], **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, **rest}


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "mcp-bridge"}


def _deployment(name: str, labels: dict[str, str], container: dict[str, Any], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    return _of(
        "apps/v1",
        "Deployment",
        name,
        labels,
        spec={
            "replicas": 1,  # sessions live in the process
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _labels(name)},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,  # else the server would see a variable for each service of the namespace
                    "terminationGracePeriodSeconds": 20,
                    "securityContext": RESTRICTED_POD,
                    "containers": [container],
                    "volumes": volumes,
                },
            },
        },
    )


def _service(name: str, labels: dict[str, str], port: int) -> dict[str, Any]:
    return _of(
        "v1", "Service", name, labels, spec={"selector": _labels(name), "ports": [{"name": "http", "port": port, "targetPort": "http"}]}
    )


def _policy(name: str, labels: dict[str, str], pods: dict[str, Any], **allowed: list[dict[str, Any]]) -> dict[str, Any]:
    """For these pods nothing goes the ways that are named but what is allowed."""
    rules = {way: rules for way, rules in allowed.items() if rules}
    spec = {"podSelector": pods, "policyTypes": [way.capitalize() for way in allowed], **rules}
    return _of("networking.k8s.io/v1", "NetworkPolicy", name, labels, spec=spec)


def _leaves(fleet: Fleet, stanza: Stanza) -> list[dict[str, Any]]:
    if stanza.egress is True:
        return [{"to": [ANYWHERE]}]
    rules: list[dict[str, Any]] = [{"ports": [{"protocol": "TCP", "port": 5432}]}] if "database" in stanza.needs else []
    if stanza.reaches:
        port = _ports(fleet)[stanza.name]
        rules.append({"to": [{"podSelector": {"matchLabels": _labels("egress")}}], "ports": [{"protocol": "TCP", "port": port}]})
    return rules


def _claim(stanza: Stanza, number: int) -> str:
    named = stanza.volumes[number].named
    return named.lower().replace("_", "-") if named else f"{stanza.name}-{number}"


def _callers(stanza: Stanza, name: str) -> str:
    """The Secret with each caller's own value of this one; Kubernetes calls things in lower case."""
    return f"mcp-{stanza.name}-{name.lower().replace('_', '-')}-callers"


def _secret_sources(stanza: Stanza, files: list[str]) -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = [{"secret": {"name": KEYS, "items": [{"key": f"{key}_hash", "path": key} for key in TOKENS]}}]
    for name in files:
        item: dict[str, Any] = {
            "name": f"mcp-{stanza.name}",
            "items": [{"key": name, "path": secret_path(stanza.stored(name)).rpartition("/")[2]}],
        }
        sources.append({"secret": {**item, "optional": True} if stanza.secrets[name].optional else item})
    return sources


def _variable(name: str, value: str) -> dict[str, Any]:
    """${NAME:-default} is the default; ${NAME} is a key of the settings, or (within a text) a variable made from it."""
    whole = REFERENCE.fullmatch(value)
    if whole and whole[2] is None:
        return {"name": name, "valueFrom": {"configMapKeyRef": {"name": SETTINGS, "key": whole[1]}}}
    return {"name": name, "value": escaped(value)}


def escaped(text: str, references: bool = True) -> str:
    """`text` for a variable or an argument, where $(NAME) is a reference and $$ a dollar."""
    if not references:
        return text.replace("$", "$$")
    return "".join(
        (f"$({name})" if default is None else default.replace("$", "$$")) if name else literal.replace("$", "$$")
        for literal, name, default in parts(text)
    )


def _probe(path: str, **how: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 5, **how}


def _resources(stanza: Stanza) -> dict[str, Any]:
    limits = {"memory": _bytes(stanza.limits.memory)}
    if stanza.limits.cpus:
        limits["cpu"] = str(stanza.limits.cpus)
    return {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": limits}


def _bytes(size: str) -> str:
    """Docker's 512m is Kubernetes' 512Mi (whose 512m is half a byte)."""
    return f"{size[:-1]}{ {'k': 'Ki', 'm': 'Mi', 'g': 'Gi'}[size[-1]] }"
