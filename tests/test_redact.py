"""Secrets in words that people read: known ones, and what looks like one; and what does not, because it says what is wrong."""

import html
import json
import time
from urllib.parse import quote, quote_plus, unquote

import pytest

from bridge import redact
from bridge.redact import SHOWN, redacted


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(redact, "_values", {})
    monkeypatch.setattr(redact, "_known", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("connecting to postgres://joe:s3cret@db:5432/x failed", f"connecting to postgres://{SHOWN}@db:5432/x failed"),
        ("redis://:pw@h, amqp://u:p%40ss@h/v", f"redis://{SHOWN}@h, amqp://{SHOWN}@h/v"),
        ("postgres://u:p@ss/w@host/db", f"postgres://{SHOWN}@host/db"),
        ("mongodb://u:a@b:c@h1:1,h2:2/x?y=z", f"mongodb://{SHOWN}@h1:1,h2:2/x?y=z"),
        ("https://ghp_token@github.com/a/b", f"https://{SHOWN}@github.com/a/b"),
        ("API_KEY=abc, x", f"API_KEY={SHOWN}, x"),
        ("GET /?api_key=XYZ&b=1", f"GET /?api_key={SHOWN}&b=1"),
        ('{"apiKey": "abc def", "b": 1}', f'{{"apiKey": {SHOWN}, "b": 1}}'),
        (r"{\"password\":\"x y\"}", rf"{{\"password\":{SHOWN}}}"),
        ("--client-secret='a b c' next", f"--client-secret={SHOWN} next"),
        ("password: hunter2", f"password: {SHOWN}"),
        ("Authorization: Bearer abcdef123456", f"Authorization: {SHOWN}"),
        ("sent 'Bearer abcdef123456' twice", f"sent 'Bearer {SHOWN}' twice"),
        ("X-API-Key: 0123456789", f"X-API-Key: {SHOWN}"),
        ("using sk-proj-abcdefghijklmnop now", f"using {SHOWN} now"),
        ("ghp_0123456789abcdefghij", SHOWN),
        ("xoxb-1234567890-abcdef", SHOWN),
        ("AKIAIOSFODNN7EXAMPLE", SHOWN),
        ("glpat-abcdefghij0123456789", SHOWN),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def", SHOWN),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
            f"-----BEGIN RSA PRIVATE KEY-----{SHOWN}-----END RSA PRIVATE KEY-----",
        ),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'OPENAI_API_KEY'",
        "missing API key: set OPENAI_API_KEY",
        "invalid token: expected string",
        "token refreshed successfully",
        "max_tokens=4096 key=3",
        "https://npmjs.com/package/@scope/x",
        "http://host:8080/path/@scope/a",
        "--secret API_KEY=/run/secrets/api_key",
        "primary key: id",
        "monkey: banana12",
        "Basic authentication is required",
        "author: Jane2",
        "tokenizer: bert",
        "cannot open /home/joe/.ssh/known_hosts",
        "commit 779c9fb2d5e8f7a1b2c3d4e5f60718293a4b5c6d",
        "TypeError: Cannot read properties of undefined (reading 'key')",
        "no such table: keys",
        "listening on ws://127.0.0.1:8000/ws",
    ],
)
def test_what_says_what_is_wrong_stays(text):
    assert redacted(text) == text


def test_what_the_operator_gave_as_a_secret_is_known_however_it_is_written():
    redact.know(
        {
            "PIN": "pa ss/42",
            "HOME": "/root",
            "API_KEY": "plain-words-only",
            "DEBUG_KEY": "true",
            "DATABASE_URL": "pg://u:p%40word!@h/d",
            "PEM": "line one of it\nline two of it",
        },
        ["PIN", "PEM"],
        ["server", "--api-token", "from-an-option", "--key=another-option", "--verbose"],
    )
    text = (
        "pa ss/42 pa%20ss%2F42 plain-words-only true /root p@word! p%40word! from-an-option another-option line two of it server --verbose"
    )

    assert redacted(text) == " ".join([SHOWN] * 3 + ["true", "/root"] + [SHOWN] * 5 + ["server", "--verbose"])


@pytest.mark.parametrize(
    "write",
    [
        quote,
        quote_plus,
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="!'()*"),
        lambda text: quote(text, safe="").lower(),
        unquote,
        json.dumps,
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: text.replace("&", "\\u0026").replace("<", "\\u003c"),
        html.escape,
    ],
    ids=["python", "form", "all", "JavaScript", "small", "unquoted", "json", "PHP", "Go", "html"],
)
def test_no_program_spells_a_secret_so_that_it_is_shown(write):
    secret = "pa ss/w<&!rd"
    redact.know({"PIN": secret}, ["PIN"])

    assert redacted(f"is {write(secret)} it") in (f"is {SHOWN} it", f'is "{SHOWN}" it')


def test_what_is_short_is_only_secret_if_the_operator_says_so():
    redact.know({"A_KEY": "abcde", "B": "wxyz", "C": "abc"}, ["B", "C"])

    assert redacted("abcde wxyz abc") == f"abcde {SHOWN} abc"


def test_any_number_of_secrets_is_bounded():
    for number in range(3000):
        redact.know({"K": f"secret-number-{number}"}, ["K"])

    assert len(redact._values) <= redact.MOST + 1


@pytest.mark.parametrize(
    "piece",
    [
        "key",
        "://",
        "://a:",
        'key="',
        "a",
        "key=' ",
        "eyJ",
        "eyJaaaaaaaa.",
        "bearer ",
        "key-",
        "-----BEGIN PRIVATE KEY-----",
        "key=bearer  ",
        "sk-",
        "sk-aaaaaaaaaaa ",
        "://a@",
        "key: ",
        "key ",
        "token ",
        '\\"',
        "=:",
        "_",
        "password='\"",
    ],
)
def test_no_text_takes_longer_than_its_length_says(piece):
    """Four times the text may take four times as long, and not sixteen. (The fastest of several tries: the machine is busy.)"""

    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        tries = []
        for _ in range(4):
            began = time.thread_time()
            redacted(text)
            tries.append(time.thread_time() - began)
        return min(tries)

    assert seconds(80_000) < 10 * seconds(20_000) + 0.005
