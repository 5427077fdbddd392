"""What stands in for a file that nobody gave yet, in the shape that is read under its name."""

import json
import re
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.fleet.adding.sdks import PROFILES

A_PROFILE = "[default]\naws_access_key_id = placeholder\naws_secret_access_key = placeholder\n"
OF_GOOGLE = re.compile("SERVICE_?ACCOUNT|CREDENTIALS?|OAUTH|CLIENT_?SECRETS?|FIREBASE|GOOGLE|GCP")  # in the name of a file


def file(name: str) -> str:
    return A_PROFILE if name == PROFILES else _of_google() if OF_GOOGLE.search(name) else "{}"


@cache
def _of_google() -> str:
    """An account of a service (with a key of this moment: its libraries parse it) and a client of OAuth, each as Google's console writes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    places = {"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token"}
    client = {"client_id": "placeholder.apps.googleusercontent.com", "client_secret": "placeholder", "redirect_uris": ["http://localhost"]}
    account = {"project_id": "placeholder", "private_key_id": "placeholder", "private_key": pem, "client_id": "0"}
    email = {"client_email": "placeholder@placeholder.iam.gserviceaccount.com", "universe_domain": "googleapis.com"}
    return json.dumps({"type": "service_account"} | account | email | places | {"installed": client | places})
