"""What stands in for a file that nobody gave yet, in the shape that is read under its name."""

import json
import re
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.fleet.adding.sdks import PROFILES
from bridge.fleet.adding.trial.findings import PLACEHOLDER

A_PROFILE = "[default]\naws_access_key_id = placeholder\naws_secret_access_key = placeholder\n"
OF_GOOGLE = re.compile("SERVICE_?ACCOUNT|CREDENTIALS?|OAUTH|CLIENT_?SECRETS?|FIREBASE|GOOGLE|GCP")  # in the name of a file
OF_A_KEY = re.compile("PRIVATE_KEY|PEM|SSH_KEY|(?<!API_)KEY_(PATH|FILE)$")


def file(name: str) -> str:
    if name == PROFILES:
        return A_PROFILE
    if name.endswith("KUBECONFIG"):
        return _of_kubernetes()
    if OF_GOOGLE.search(name):
        return _of_google()
    return _key() if OF_A_KEY.search(name) else "{}"


@cache
def _key() -> str:
    """A private key in PEM, of this moment: libraries parse it at their start."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _of_kubernetes() -> str:
    """One cluster, whose address is nobody's (kubernetes.io/docs/reference/config-api/kubeconfig.v1)."""
    every = {
        "clusters": [{"name": "placeholder", "cluster": {"server": f"https://kubeconfig.{PLACEHOLDER}"}}],
        "users": [{"name": "placeholder", "user": {"token": "placeholder"}}],
        "contexts": [{"name": "placeholder", "context": {"cluster": "placeholder", "user": "placeholder"}}],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "placeholder"} | every)


def _of_google() -> str:
    """An account of a service and a client of OAuth, each as Google's console writes it."""
    places = {"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token"}
    client = {"client_id": "placeholder.apps.googleusercontent.com", "client_secret": "placeholder", "redirect_uris": ["http://localhost"]}
    account = {"project_id": "placeholder", "private_key_id": "placeholder", "private_key": _key(), "client_id": "0"}
    email = {"client_email": "placeholder@placeholder.iam.gserviceaccount.com", "universe_domain": "googleapis.com"}
    return json.dumps({"type": "service_account"} | account | email | places | {"installed": client | places})
