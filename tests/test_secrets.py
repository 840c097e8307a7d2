"""Secrets reach the client verbatim, and never stdout, stderr or the log."""

import json
import traceback
from pathlib import Path

import pytest

from telco_stream.errors import UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.settings import load
from tests.support.in_process import CompletedRun, run_in_process

#: Characters with a special meaning in shells, property files, `.env` files or JSON.
SECRET = 'it\'s=a #secret "$HOME" ${x} \\n `id` %s {0} ü '
#: Parts of it that no quoting changes.
TRACES = ("#secret", "${x}")
PASSWORD = "TELCO_STREAM_KAFKA__SASL__PASSWORD"
NOWHERE = ("--broker", "127.0.0.1:1", "--timeout", "0.1")
LOGIN = {
    "TELCO_STREAM_KAFKA__SECURITY__PROTOCOL": "SASL_SSL",
    "TELCO_STREAM_KAFKA__SASL__MECHANISM": "SCRAM-SHA-512",
    "TELCO_STREAM_KAFKA__SASL__USERNAME": "somebody",
    "TELCO_STREAM_KAFKA__SSL__KEYSTORE__PASSWORD": SECRET,
    PASSWORD: SECRET,
    "TELCO_STREAM_KAFKA__DEBUG": "all",
}
KAFKA_COMMANDS = [
    "topics init",
    "produce --mode batch",
    "produce --mode streaming --limit 1",
    "consume --mode batch",
    "consume --delivery at-least-once",
    "report",
    "verify",
    "status",
    "doctor",
    "dlq list",
    "dlq show 0:0",
    "dlq replay --execute",
]


@pytest.mark.parametrize("source", ["variable", "file", "file with a line's end", "dotenv", "toml"])
def test_secret_is_verbatim_from_every_source(tmp_path: Path, source: str) -> None:
    environ = {}
    if source == "variable":
        environ[PASSWORD] = SECRET
    elif source == "toml":
        (tmp_path / "telco-stream.toml").write_text(f'[kafka]\n"sasl.password" = {json.dumps(SECRET)}\n')
    elif source == "dotenv":
        quoted = SECRET.replace("\\", "\\\\").replace("'", "\\'")
        (tmp_path / ".env").write_text(f"{PASSWORD}='{quoted}'\n")
    else:
        (tmp_path / "password").write_text(SECRET + ("\r\n" if "line" in source else ""), newline="")
        environ[f"{PASSWORD}_FILE"] = "password"
    assert load(environ=environ, cwd=tmp_path).kafka == {"sasl.password": SECRET}


@pytest.mark.parametrize("command", KAFKA_COMMANDS)
def test_command_prints_no_secret_when_verbose(command: str) -> None:
    """No broker listens at the address, so that every command fails; librdkafka logs debug lines."""
    logs = ("--log-format", "json") if command.startswith(("produce", "consume")) else ()
    done = run_in_process(*command.split(), *NOWHERE, *logs, "--verbose", env=LOGIN)
    assert done.code == 3
    assert "sasl.password = ********" in done.err
    assert is_silent(done)


@pytest.mark.parametrize("output", ["table", "json"])
def test_config_show_hides_secrets(output: str) -> None:
    done = run_in_process("config", "show", "--output", output, "--verbose", env=LOGIN)
    assert done.code == 0
    assert is_silent(done)
    assert "somebody" in done.out
    assert "********" in done.out


@pytest.mark.parametrize(
    "wrong",
    [
        {"TELCO_STREAM_KAFKA_SASL_PASSWORD": SECRET},
        {"TELCO_STREAM_KAFKA__SASL__PASWORD": SECRET},
        {"TELCO_STREAM_KAFKA__SASL__PASSWORD__": SECRET},
        {"TELCO_STREAM_PASSWORD": SECRET},
        {f"{PASSWORD}_FILE": "elsewhere"},
        {"TELCO_STREAM_KAFKA__SSL__KEY__PEM": SECRET},
        {"TELCO_STREAM_KAFKA__SSL__CERTIFICATE__PEM": SECRET},
        {"TELCO_STREAM_KAFKA__SSL__CA__PEM": SECRET},
        {"TELCO_STREAM_KAFKA__TRANSACTIONAL__ID": SECRET},
        {"TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS": SECRET},
        {"TELCO_STREAM_TOPICS__RAW": SECRET},
    ],
    ids=lambda wrong: str(*wrong),
)
def test_error_names_a_refused_setting_without_its_value(wrong: dict[str, str]) -> None:
    done = run_in_process("status", *NOWHERE, "--verbose", env=LOGIN | wrong)
    assert done.code == 2
    assert [line.split()[0] for line in done.err.splitlines() if " DEBUG " not in line] == ["Error:"]
    assert is_silent(done)


def test_error_omits_the_token_when_it_is_invalid() -> None:
    token = {
        "TELCO_STREAM_KAFKA__SASL__MECHANISM": "OAUTHBEARER",
        "TELCO_STREAM_KAFKA__ENABLE__SASL__OAUTHBEARER__UNSECURE__JWT": "true",
        "TELCO_STREAM_KAFKA__SASL__OAUTHBEARER__CONFIG": f"principal=me {SECRET}",
    }
    done = run_in_process("status", *NOWHERE[:2], "--timeout", "5", "--verbose", env=LOGIN | token)
    assert done.code == 3
    assert is_silent(done)
    assert "sasl.oauthbearer.config" in done.err


def test_token_url_is_masked_when_no_server_answers() -> None:
    """librdkafka logs the whole URL in its error, and every property with `debug=conf`."""
    start = "TELCO_STREAM_KAFKA__SASL__OAUTHBEARER__"
    oidc = {
        "TELCO_STREAM_KAFKA__SECURITY__PROTOCOL": "SASL_SSL",
        "TELCO_STREAM_KAFKA__SASL__MECHANISM": "OAUTHBEARER",
        "TELCO_STREAM_KAFKA__DEBUG": "all",
        f"{start}METHOD": "oidc",
        f"{start}CLIENT__ID": "telco",
        f"{start}CLIENT__SECRET": SECRET,
        f"{start}EXTENSIONS": "trace=#secret",
        f"{start}TOKEN__ENDPOINT__URL": "http://me:%23secret@127.0.0.1:1/token?key=${x}",
    }
    done = run_in_process("status", *NOWHERE[:2], "--timeout", "1", "--verbose", env=oidc)
    assert done.code == 3
    assert 'Failed to retrieve OIDC token from "********"' in done.err
    assert "sasl.oauthbearer.extensions = ********" in done.err
    assert is_silent(done)
    assert "%23secret" not in done.err


def test_traceback_contains_no_secret() -> None:
    """Neither do chained errors and the `repr` of the settings."""
    settings = load(environ=LOGIN | {"TELCO_STREAM_KAFKA__SSL__KEY__PEM": SECRET})
    with pytest.raises(UsageError) as error:
        Clients(settings).admin()
    text = "".join(traceback.format_exception(error.value))
    assert all(trace not in text + repr(settings) + str(settings) for trace in TRACES)


def is_silent(done: CompletedRun) -> bool:
    return not any(trace in stream for trace in TRACES for stream in (done.out, done.err))
