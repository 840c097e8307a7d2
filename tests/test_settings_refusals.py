"""Errors in settings: one line, with the name that the user wrote, and never the value."""

import re
from pathlib import Path

import pytest

from telco_stream.errors import UsageError
from telco_stream.runtime.choices import variable_of
from telco_stream.settings import load
from telco_stream.settings.tree import FIELDS
from tests.support.cli import run_cli

SECRET = "hunter2"


#: Settings that accept any text.
TEXTS = {
    *("producer.data_path", "producer.checkpoint_file", "consumer.transactional_id", "model.path", "metrics.host"),
    "model.signing_key",
}


def load_error(environ: dict[str, str], cwd: Path, dotenv: str = "", toml: str = "") -> str:
    """Return the error of `load`, and check that it is one line without the secret."""
    (cwd / ".env").write_text(dotenv)
    (cwd / "telco-stream.toml").write_text(toml)
    with pytest.raises(UsageError) as caught:
        load(environ=environ, cwd=cwd)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert len(message.splitlines()) == 1
    assert SECRET not in message
    return message


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("TELCO_STREAM_BOOTSTRAP_SERVER", "TELCO_STREAM_BOOTSTRAP_SERVERS"),
        ("TELCO_STREAM_BATCHSIZE", "TELCO_STREAM_PRODUCER__BATCH_SIZE"),
        (
            "TELCO_STREAM_BATCH_SIZE",  # each has the option --batch-size
            (
                "TELCO_STREAM_PRODUCER__BATCH_SIZE or TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS"
                " or TELCO_STREAM_CONSUMER__WINDOW_SIZE"
            ),
        ),
        ("TELCO_STREAM_CONSUMER_GROUP_ID", "TELCO_STREAM_CONSUMER__GROUP_ID"),
        ("telco_stream_topics__raw_partition", "TELCO_STREAM_TOPICS__RAW_PARTITIONS"),
        ("TELCO_STREAM_MODEL__PATH_FILES", "TELCO_STREAM_MODEL__PATH"),
    ],
)
def test_load_suggests_a_name_when_a_variable_is_misspelt(tmp_path: Path, variable: str, suggestion: str) -> None:
    expected = f"{variable}: unknown setting; did you mean {suggestion}?"
    assert load_error({variable: SECRET}, tmp_path) == expected
    assert load_error({}, tmp_path, dotenv=f"{variable}={SECRET}") == expected.replace(":", " in .env:", 1)


@pytest.mark.parametrize(
    "variable", ["TELCO_STREAM_", "TELCO_STREAM_X", "TELCO_STREAM_KAFKA", "TELCO_STREAM_KAFKA__", "TELCO_STREAM__FILE"]
)
def test_load_fails_when_a_variable_is_incomplete(tmp_path: Path, variable: str) -> None:
    assert load_error({variable: SECRET}, tmp_path).startswith(f"{variable}: ")


@pytest.mark.parametrize(
    ("toml", "start"),
    [
        ("bootstrap_server = 'hunter2'", "bootstrap_server in telco-stream.toml: unknown setting; did you"),
        ("[consumer]\ngroup = 'hunter2'", "consumer.group in telco-stream.toml: unknown setting; did you"),
        ("topics = 'hunter2'", "topics in telco-stream.toml: unknown setting"),
        ("[kafka]\n'sasl.password' = ['hunter2']", "kafka.sasl.password in telco-stream.toml: use text"),
        ("[kafka]\n'a.b' = 'hunter2'\na.b = 'hunter2'", "kafka.a.b in telco-stream.toml: also set by kafka.a.b in"),
        ("[kafka]\nacks = 1", "kafka.acks in telco-stream.toml: acks can't be set here"),
        ("[kafka]\n'a\nb' = 'hunter2'", "telco-stream.toml: not valid TOML"),
        ('"a\\nb" = 1', "a b in telco-stream.toml: unknown setting"),
        ("[producer]\nbatch_size = true", "producer.batch_size in telco-stream.toml: must be a valid integer"),
        ("x = hunter2", "x in telco-stream.toml: not valid TOML: Invalid value (at line 1"),
        ("[consumer]\ngroup_id = a", "group_id in telco-stream.toml: not valid TOML: Invalid value (at line 2"),
        ("hunter2 x = 1", "telco-stream.toml: not valid TOML"),
        (
            "[kafka]\n'group.id' = 'hunter2'",
            "kafka.group.id in telco-stream.toml: group.id can't be set here: use --group or consumer.group_id",
        ),
        ("TELCO_STREAM_MODEL__PATH = 'hunter2'", "TELCO_STREAM_MODEL__PATH in telco-stream.toml: unknown setting; did"),
        (
            "[topics]\nraw = 'a'\npredictions = 'a'\nraw_partitions = 9",
            "topics.raw in telco-stream.toml, topics.predictions in telco-stream.toml: raw, predictions, deadletter",
        ),
    ],
)
def test_load_fails_when_a_toml_key_is_wrong(tmp_path: Path, toml: str, start: str) -> None:
    assert load_error({}, tmp_path, toml=toml).startswith(start)


@pytest.mark.parametrize("name", ["LOG_FORMAT", "log_format", "LOG_FORMT", "CONSUMER__LOG_FORMAT"])
def test_load_names_the_option_when_it_is_not_a_setting(tmp_path: Path, name: str) -> None:
    """The value is a valid one of the option, and no setting is similar."""
    message = load_error({f"TELCO_STREAM_{name}": "json"}, tmp_path)
    assert message == f"TELCO_STREAM_{name}: not a setting; use the option --log-format text|json"
    message = load_error({}, tmp_path, toml="log_format = 'json'")
    assert message == "log_format in telco-stream.toml: not a setting; use the option --log-format text|json"


@pytest.mark.parametrize(
    ("flag", "setting"), [("BROKER", "BOOTSTRAP_SERVERS"), ("GROUP", "CONSUMER__GROUP_ID"), ("TOPIC", "TOPICS__RAW")]
)
def test_load_suggests_the_setting_when_a_flag_is_used_as_one(tmp_path: Path, flag: str, setting: str) -> None:
    message = load_error({f"TELCO_STREAM_{flag}": SECRET}, tmp_path)
    assert message == f"TELCO_STREAM_{flag}: unknown setting; did you mean TELCO_STREAM_{setting}?"


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - TEXTS))
def test_load_shows_no_words_of_pydantic(tmp_path: Path, name: str) -> None:
    message = load_error({variable_of(name): "ü\n-"}, tmp_path)
    assert not re.search(r"Value error|should|Assertion|parse", message)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("PRODUCER__BATCH_SIZE", "0", "greater than 0"),
        ("PRODUCER__BATCH_SIZE", SECRET, "valid integer"),
        ("PRODUCER__EVENTS_PER_SEC", "-1", "greater than or equal to 0"),
        ("PRODUCER__EVENTS_PER_SEC", "nan", "finite"),
        ("PRODUCER__EVENTS_PER_SEC", "inf", "finite"),
        ("TOPICS__RETENTION_MS", "-2", "greater than or equal to -1"),
        ("TOPICS__RAW", SECRET + " x", "match pattern"),
        ("TOPICS__RAW", "", "match pattern"),
        ("CONSUMER__GROUP_ID", "", "printable ASCII"),
        ("CONSUMER__GROUP_ID", "a\nb", "printable ASCII"),
        ("CONSUMER__GROUP_ID", f"{SECRET}ü", "printable ASCII"),
        ("MODEL__PATH", f"{SECRET}\udcff", "not UTF-8"),
        ("KAFKA__SASL__PASSWORD", f"{SECRET}\udcff", "not UTF-8"),
        ("KAFKA__SASL__PASSWORD", f"{SECRET}\0", "NUL"),
        ("KAFKA__CLIENT__ID", f"{SECRET}ü", "printable ASCII"),
        ("KAFKA__GROUP__INSTANCE__ID", f"{SECRET}\n", "printable ASCII"),
        ("CONSUMER__AUTO_OFFSET_RESET", SECRET, "'earliest' or 'latest'"),
        ("CONSUMER__MAX_POLL_RECORDS", "1000001", "less than or equal to 1000000"),
        ("BOOTSTRAP_SERVERS", "", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", " ", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", ",", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", "a:9092,:9092", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", "a b", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", f"http://{SECRET}:9092", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", f"user:{SECRET}@a:9092", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", "a:port", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", "a:0", "HOST:PORT"),
        ("BOOTSTRAP_SERVERS", "a:65536", "HOST:PORT"),
    ],
)
def test_load_names_the_variable_when_its_value_is_wrong(tmp_path: Path, name: str, text: str, reason: str) -> None:
    variable = f"TELCO_STREAM_{name}"
    message = load_error({variable: text}, tmp_path)
    assert message.startswith(f"{variable}: ")
    assert reason in message


def test_load_names_the_flag_when_its_value_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--batch-size: .*greater than 0"):
        load({"producer.batch_size": 0}, environ={}, cwd=tmp_path)
    with pytest.raises(UsageError, match=r"^--broker: "):
        load({"bootstrap_servers": ""}, environ={}, cwd=tmp_path)


def test_load_names_the_file_variable_when_its_value_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    message = load_error({"TELCO_STREAM_PRODUCER__BATCH_SIZE_FILE": "secret"}, tmp_path)
    assert message.startswith("TELCO_STREAM_PRODUCER__BATCH_SIZE_FILE: ")


def test_load_names_all_wrong_values(tmp_path: Path) -> None:
    message = load_error({"TELCO_STREAM_PRODUCER__BATCH_SIZE": "x"}, tmp_path, dotenv="TELCO_STREAM_TOPICS__RAW=a b")
    assert "TELCO_STREAM_PRODUCER__BATCH_SIZE: " in message
    assert "TELCO_STREAM_TOPICS__RAW in .env: " in message


def test_load_fails_when_two_topics_have_one_name(tmp_path: Path) -> None:
    """Predictions in the raw topic would be scored again and again."""
    assert "five different topics" in load_error({"TELCO_STREAM_TOPICS__RAW": "telco.deadletter"}, tmp_path)


@pytest.mark.parametrize(
    "variables",
    [
        ("KAFKA__SASL__PASSWORD", "KAFKA__SASL__PASSWORD_FILE"),
        ("MODEL__PATH_FILE", "MODEL__PATH"),
        ("MODEL__PATH", "model__path"),
        ("KAFKA__SASL__MECHANISM", "KAFKA__SASL__MECHANISMS"),
    ],
)
def test_load_fails_when_a_setting_is_given_twice(tmp_path: Path, variables: tuple[str, str]) -> None:
    (tmp_path / "f").write_text(SECRET)
    first, second = (f"TELCO_STREAM_{name}" for name in variables)
    assert load_error({first: "f", second: "f"}, tmp_path) == f"{second}: also set by {first}; remove one of them"


def test_load_fails_when_a_value_file_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff" + SECRET.encode())
    for path, reason in {
        "none": "No such file",
        ".": "Is a directory",
        "": "Is a directory",
        "binary": "UTF-8",
    }.items():
        assert reason in load_error({"TELCO_STREAM_KAFKA__SASL__PASSWORD_FILE": path}, tmp_path)


@pytest.mark.parametrize("name", [".env", "telco-stream.toml"])
def test_load_fails_when_a_settings_file_is_unreadable(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff" + SECRET.encode())
    with pytest.raises(UsageError, match="can't be read: not UTF-8 text"):
        load(environ={}, cwd=tmp_path)


@pytest.mark.parametrize(
    "line", ["TELCO_STREAM_MODEL__PATH", "TELCO_STREAM_KAFKA__SASL__PASSWORD='hunter2", "= hunter2"]
)
def test_load_fails_when_a_dotenv_line_has_no_value(tmp_path: Path, line: str) -> None:
    """python-dotenv only warns, so that a password would be missing."""
    assert load_error({}, tmp_path, dotenv=f"A=b\n{line}\n").startswith(".env, line 2: use NAME=value")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("ENABLE__AUTO__COMMIT", "--delivery"),
        ("AUTO__COMMIT__ENABLE", "--delivery"),
        ("ENABLE__AUTO__OFFSET__STORE", "--delivery"),
        ("ISOLATION__LEVEL", "only committed records"),
        ("TRANSACTIONAL__ID", "TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID"),
        ("ENABLE__IDEMPOTENCE", "--delivery"),
        ("ACKS", "in-sync replicas"),
        ("REQUEST__REQUIRED__ACKS", "in-sync replicas"),
        ("DELIVERY__REPORT__ONLY__ERROR", "delivery is confirmed"),
        ("PARTITIONER", "murmur2_random"),
        ("BOOTSTRAP__SERVERS", "TELCO_STREAM_BOOTSTRAP_SERVERS"),
        ("METADATA__BROKER__LIST", "--broker"),
        ("GROUP__ID", "TELCO_STREAM_CONSUMER__GROUP_ID"),
        ("AUTO__OFFSET__RESET", "TELCO_STREAM_CONSUMER__AUTO_OFFSET_RESET"),
        ("ERROR_CB", "code, not text"),
        ("LOGGER", "code, not text"),
        ("DEFAULT__TOPIC__CONFIG", "code, not text"),
    ],
)
def test_load_fails_when_a_property_affects_delivery(tmp_path: Path, name: str, instead: str) -> None:
    message = load_error({f"TELCO_STREAM_KAFKA__{name}": SECRET}, tmp_path)
    assert message.startswith(f"TELCO_STREAM_KAFKA__{name}: ")
    assert instead in message
    (tmp_path / "f").write_text(SECRET)
    assert instead in load_error({f"TELCO_STREAM_KAFKA__{name}_FILE": "f"}, tmp_path)


def test_command_names_toml_keys_when_its_properties_are_there(tmp_path: Path) -> None:
    (tmp_path / "telco-stream.toml").write_text("[kafka]\nsecurity.protocol = 'SASL_SSL'\nsasl.mechanism = 'PLAIN'")
    done = run_cli("status", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "Error: PLAIN needs kafka.sasl.username and kafka.sasl.password (in telco-stream.toml)\n"
