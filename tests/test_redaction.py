"""Secrets are masked in log lines and errors, including those of libraries."""

import logging

import pytest

from telco_stream.display.console import Screen
from telco_stream.errors import KafkaError
from telco_stream.runtime import logs
from telco_stream.runtime.redaction import MASK, Redactor, redact
from telco_stream.settings import load
from telco_stream.settings.properties import secrets_of


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("from https://me:it@host/token: no", f"from https://{MASK}@host/token: no"),
        ('POST "http://host:80/token?key=a&b=c" failed', f'POST "http://host:80/token?{MASK}" failed'),
        ("sasl_ssl://kafka:9093/1: is down?", "sasl_ssl://kafka:9093/1: is down?"),
        ("mail me@host: is it up?", "mail me@host: is it up?"),
    ],
)
def test_redactor_masks_credentials_of_urls(line: str, masked: str) -> None:
    assert Redactor()(line) == masked


@pytest.mark.parametrize(
    ("value", "line", "masked"),
    [
        ("correct horse", "Bad login: correct horse!", f"Bad login: {MASK}!"),
        ("a", "a = a bare word", "a = a bare word"),
        ("a", "  sasl.secret.x = a", f"  sasl.secret.x = {MASK}"),
        ("line 1\nline 2", "sasl.secret.x = line 1\nlin", f"sasl.secret.x = {MASK}"),
        ("http://me:p%40ssword@host/", "login p@ssword failed", f"login {MASK} failed"),
        ("http://[broken", "login http://[broken failed", f"login {MASK} failed"),
    ],
)
def test_redactor_masks_registered_values(value: str, line: str, masked: str) -> None:
    redactor = Redactor()
    redactor.register({"sasl.secret.x": value})
    assert redactor(line) == masked


def test_redactor_forgets_when_nothing_is_registered() -> None:
    redactor = Redactor()
    redactor.register({"sasl.password": "correct horse"})
    redactor.register({})
    assert redactor("correct horse") == "correct horse"


def test_secrets_of_has_both_names_when_a_property_has_an_alias() -> None:
    name = "sasl.oauthbearer.client.credentials.client.secret"
    assert secrets_of({name: "x", "linger.ms": "5"}) == {name: "x", "sasl.oauthbearer.client.secret": "x"}


def test_load_registers_secrets_for_log_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    load(environ={"TELCO_STREAM_KAFKA__SASL__PASSWORD": "correct horse"})
    logs.configure(verbose=True)
    logging.getLogger("telco_stream.kafka.client").warning("login with %s", "correct horse")
    Screen().error(KafkaError("login with correct horse"))
    logs.configure(as_json=True)
    logs.log_failure(KafkaError("login with correct horse"))
    err = capsys.readouterr().err
    assert err.count("correct horse") == 0
    assert err.count(f"login with {MASK}") == 3
    redact.register({})
