"""What stands in for values and files that nobody gave yet."""

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


@pytest.mark.parametrize(
    ("words", "shaped"),
    [
        (
            [
                '    api_id = int(os.environ["SITE_ID"])',
                f"ValueError: invalid literal for int() with base 10: '{stand_ins.value('SITE_ID')}'",
            ],
            "1",
        ),
        (["SITE_ID", f"  Input should be a valid integer [type=int_parsing, input_value='{stand_ins.value('SITE_ID')}']"], "1"),
        (["SITE_ID is not a valid UUID"], "00000000-0000-4000-8000-000000000000"),
        (['    config = json.loads(os.environ["SITE_ID"])', "json.decoder.JSONDecodeError: Expecting value"], "{}"),
        (["Error: SITE_ID must start with 'xoxb-'"], f"xoxb-{stand_ins.value('SITE_ID')}"),
        (["Error: SITE_ID is missing"], None),
        (["invalid literal for int() with base 10: 'off'"], None),
    ],
)
def test_a_value_of_another_shape_is_given_the_shape_that_was_said(words: list[str], shaped: str | None):
    assert stand_ins.shapes(words, ["OTHER_KEY", "SITE_ID"]) == ({"SITE_ID": shaped} if shaped else {})


def test_what_wants_a_database_by_its_dialect_gets_one_in_a_file():
    words = ["sqlalchemy.exc.NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:http"]

    assert stand_ins.shapes(words, ["OTHER_KEY", "SITE_DB_URL"]) == {"SITE_DB_URL": "sqlite:////tmp/placeholder.db"}
    assert stand_ins.shapes(words, ["OTHER_KEY", "SITE_ID"]) == {}


def test_credentials_of_google_in_a_variable_are_those_of_a_file():
    words = ['info = json.loads(os.environ["GOOGLE_CREDENTIALS"])', "json.decoder.JSONDecodeError: Expecting value"]

    assert stand_ins.shapes(words, ["GOOGLE_CREDENTIALS"]) == {"GOOGLE_CREDENTIALS": stand_ins.file("GOOGLE_CREDENTIALS")}


def test_the_only_key_begins_as_a_server_expects_it():
    words = ["Error: Invalid API key format. Expected sk_* (secret key) or rk_* (restricted key)."]

    assert stand_ins.shapes(words, ["SITE_SECRET_KEY"])["SITE_SECRET_KEY"].startswith("sk_placeholder-")
    assert stand_ins.shapes(words, ["SITE_SECRET_KEY", "OTHER_KEY"]) == {}


def test_an_address_begins_as_a_server_says_once():
    words = ["Value error, SITE_HOST must start with http:// or https://", "SITE_URL must start with https://"]

    assert stand_ins.shapes(words[:1], ["SITE_HOST"]) == {"SITE_HOST": f"http://{stand_ins.host('SITE_HOST')}"}
    assert stand_ins.shapes(words[1:], ["SITE_URL"]) == {"SITE_URL": f"https://{stand_ins.host('SITE_URL')}"}


@pytest.mark.parametrize("name", ["SITE_CONNECTION_STRING", "SITE_CONN_STR", "SITE_HOST", "SITE_BOOTSTRAP_SERVERS"])
def test_a_connection_has_a_host_that_is_called_like_its_variable(name: str):
    assert stand_ins.value(name) == stand_ins.host(name)
