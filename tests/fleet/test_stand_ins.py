"""What stands in for files that nobody gave yet."""

import json

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bridge.fleet.adding.trial import stand_ins


@pytest.mark.parametrize("name", ["GOOGLE_APPLICATION_CREDENTIALS", "SERVICE_ACCOUNT_KEY_PATH", "SITE_OAUTH_PATH"])
def test_credentials_of_google_can_be_parsed_as_its_libraries_do(name: str):
    said = json.loads(stand_ins.file(name))

    assert said["type"] == "service_account" and said["project_id"] and said["client_email"].endswith("iam.gserviceaccount.com")
    assert load_pem_private_key(said["private_key"].encode(), None)
    assert said["installed"]["client_id"] and said["installed"]["token_uri"]


def test_a_private_key_can_be_parsed():
    assert load_pem_private_key(stand_ins.file("SITE_PRIVATE_KEY_PATH").encode(), None)


def test_a_kubeconfig_has_a_cluster_at_an_address_that_is_nobodys():
    said = json.loads(stand_ins.file("KUBECONFIG"))

    assert said["current-context"] == said["contexts"][0]["name"]
    assert said["clusters"][0]["cluster"]["server"] == "https://kubeconfig.placeholder.invalid"


def test_a_profile_of_aws_has_a_default_and_any_other_file_is_an_empty_object():
    assert stand_ins.file("AWS_SHARED_CREDENTIALS_FILE").startswith("[default]\n")
    assert stand_ins.file("SITE_CONFIG_FILE") == "{}"
