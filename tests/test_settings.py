"""Loading of settings: sources, their order, and the origins that `config show` shows."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.runtime.choices import variable_of
from telco_stream.settings import ConsumerSettings, LoadedSettings, Settings, load, load_traced
from telco_stream.settings.sources import read_environment
from telco_stream.settings.tree import FIELDS

Trace = Callable[..., LoadedSettings]


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Return a function that loads settings in an empty directory with the given environment and files."""

    def run(
        flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, **files: str
    ) -> LoadedSettings:
        for name, text in files.items():
            (tmp_path / {"dotenv": ".env", "toml": "telco-stream.toml"}[name]).write_text(text)
        return load_traced(flags, environ=environ or {}, cwd=tmp_path)

    return run


def origin_of(loaded: LoadedSettings, name: str) -> str:
    return next(setting.origin for setting in loaded.resolved if setting.name == name)


def value_of(loaded: LoadedSettings, name: str) -> object:
    return next(setting.value for setting in loaded.resolved if setting.name == name)


def test_load_returns_defaults_when_nothing_is_set(trace: Trace) -> None:
    loaded = trace()
    assert loaded.settings == Settings()
    assert {setting.origin for setting in loaded.resolved} == {"default"}


def test_settings_ignore_the_environment_when_constructed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELCO_STREAM_BOOTSTRAP_SERVERS", "elsewhere:9092")
    monkeypatch.setenv("BOOTSTRAP_SERVERS", "elsewhere:9092")
    assert Settings(consumer=ConsumerSettings(group_id="g")).bootstrap_servers == "localhost:9092"


def test_load_reads_the_process_environment_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELCO_STREAM_BOOTSTRAP_SERVERS", "elsewhere:9092")
    assert load().bootstrap_servers == "elsewhere:9092"


@pytest.mark.parametrize(
    ("sources", "value", "origin"),
    [
        (("flag", "environ", "dotenv", "toml"), "flag", "flag"),
        (("environ", "dotenv", "toml"), "environ", "environment TELCO_STREAM_CONSUMER__GROUP_ID"),
        (("dotenv", "toml"), "dotenv", ".env TELCO_STREAM_CONSUMER__GROUP_ID"),
        (("toml",), "toml", "telco-stream.toml"),
        ((), "churn-prediction-group", "default"),
    ],
)
def test_load_uses_and_names_the_highest_source(
    trace: Trace, sources: tuple[str, ...], value: str, origin: str
) -> None:
    name = "TELCO_STREAM_CONSUMER__GROUP_ID"
    loaded = trace(
        {"consumer.group_id": "flag" if "flag" in sources else None},
        {name: "environ"} if "environ" in sources else {},
        dotenv=f"{name}=dotenv" if "dotenv" in sources else "",
        toml='[consumer]\ngroup_id = "toml"' if "toml" in sources else "",
    )
    assert loaded.settings.consumer.group_id == value_of(loaded, "consumer.group_id") == value
    assert origin_of(loaded, "consumer.group_id") == origin


@pytest.mark.parametrize(
    "text",
    ["a", "a:1", "a.b-c_d.example:65535", "10.0.0.1:9", "[::1]:9092", "a:1,b:2", "a:1, b:2", "a:1,", "SASL_SSL://a:1"],
)
def test_load_accepts_brokers_when_the_client_does(tmp_path: Path, text: str) -> None:
    assert load({"bootstrap_servers": text}, environ={}, cwd=tmp_path).bootstrap_servers == text


def test_load_merges_a_group_when_sources_set_parts_of_it(trace: Trace) -> None:
    """A table in one source does not replace the whole group of another."""
    loaded = trace(
        {"topics.raw": "a"}, {"TELCO_STREAM_TOPICS__PREDICTIONS": "b"}, toml='[topics]\nraw = "x"\ndeadletter = "c"'
    )
    topics = loaded.settings.topics
    assert (topics.raw, topics.predictions, topics.deadletter) == ("a", "b", "c")
    assert topics.raw_partitions == 3


def test_load_ignores_the_case_of_variables(trace: Trace) -> None:
    assert trace(environ={"telco_stream_model__Path": "m"}).settings.model.path == "m"


def test_every_setting_is_set_by_its_variable(trace: Trace) -> None:
    texts = {"consumer.auto_offset_reset": "latest", "topics.deadletter_max_message_bytes": "20000"}
    texts |= dict.fromkeys(["model.gate_failures", "model.gate_changed", "model.gate_shift"], "0.7")
    texts["model.rollback_failures"] = "0.7"
    for name in FIELDS:
        default = value_of(trace(), name)
        text = texts.get(name, "77")
        changed = value_of(trace(environ={variable_of(name): text}), name)
        assert str(changed).removesuffix(".0") == ("********" if name == "model.signing_key" else text)
        assert changed != default


def test_every_setting_has_a_description(trace: Trace) -> None:
    assert all(setting.meaning.endswith(".") and "\n" not in setting.meaning for setting in trace().resolved)


def test_path_is_none_when_its_variable_is_empty(trace: Trace) -> None:
    """Compose passes an empty variable for `${NAME:-}`."""
    assert trace(environ={"TELCO_STREAM_MODEL__PATH": ""}).settings.model.path is None


@pytest.mark.parametrize("text", ["1e5", "true", "null", "0123", "1.10"])
def test_load_decodes_no_text(trace: Trace, text: str) -> None:
    assert trace(environ={"TELCO_STREAM_TOPICS__RAW": text}).settings.topics.raw == text
    assert trace(dotenv=f"TELCO_STREAM_TOPICS__RAW={text}").settings.topics.raw == text
    assert trace(toml=f'[topics]\nraw = "{text}"', dotenv="").settings.topics.raw == text


def test_dotenv_expands_nothing_and_ignores_other_names(trace: Trace) -> None:
    dotenv = "HOME=/x\nPOSTGRES_PASSWORD=y\nTELCO_STREAM_KAFKA__SASL__PASSWORD=a${HOME}b\n"
    assert trace(dotenv=dotenv).settings.kafka == {"sasl.password": "a${HOME}b"}


def test_load_ignores_variables_of_kubernetes_and_tests(trace: Trace) -> None:
    names = ["PORT", "PORT_9092_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT_HTTP", "TEST_DATA"]
    assert trace(environ={f"TELCO_STREAM_{name}": "tcp://10.0.0.1" for name in names}).settings == Settings()


@pytest.mark.parametrize(
    ("content", "value"), [("g\n", "g"), ("g\n\n", "g\n"), ("g\r\n", "g"), (" g ", " g "), ("a\r\nb\n", "a\r\nb")]
)
def test_file_value_lacks_the_last_newline(trace: Trace, tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    loaded = trace(environ={"TELCO_STREAM_MODEL__PATH_FILE": "secret"})
    assert loaded.settings.model.path == value
    assert origin_of(loaded, "model.path") == f"file {tmp_path / 'secret'} (TELCO_STREAM_MODEL__PATH_FILE)"


def test_file_suffix_works_when_the_name_ends_in_file(trace: Trace, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("from-file")
    plain = trace(environ={"TELCO_STREAM_PRODUCER__CHECKPOINT_FILE": "f"}).settings
    read = trace(environ={"TELCO_STREAM_PRODUCER__CHECKPOINT_FILE_FILE": "f"}).settings
    assert (plain.producer.checkpoint_file, read.producer.checkpoint_file) == ("f", "from-file")
    prefix = "TELCO_STREAM_KAFKA__SASL__OAUTHBEARER__ASSERTION__FILE"
    assert trace(environ={prefix: "f"}).settings.kafka == {"sasl.oauthbearer.assertion.file": "f"}
    assert trace(environ={f"{prefix}_FILE": "f"}).settings.kafka == {"sasl.oauthbearer.assertion.file": "from-file"}


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("SASL__PASSWORD", "sasl.password"),
        ("LOG_LEVEL", "log_level"),
        ("SSL__KEY__PASSWORD", "ssl.key.password"),
        ("fetch__min__bytes", "fetch.min.bytes"),
    ],
)
def test_property_name_follows_the_prefix_of_the_variable(trace: Trace, variable: str, name: str) -> None:
    assert trace(environ={f"TELCO_STREAM_KAFKA__{variable}": "1e5"}).settings.kafka == {name: "1e5"}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_property_is_verbatim(text: str) -> None:
    layer = read_environment({"TELCO_STREAM_KAFKA__SASL__PASSWORD": text}, Path())
    assert [(name, value.value) for name, value in layer.items()] == [("kafka.sasl.password", text)]


def test_property_is_verbatim_when_read_from_a_file(trace: Trace, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("1e5\n")
    assert trace(environ={"TELCO_STREAM_KAFKA__SASL__PASSWORD_FILE": "password"}).settings.kafka == {
        "sasl.password": "1e5"
    }


def test_toml_accepts_quoted_nested_and_typed_properties(trace: Trace) -> None:
    toml = '[kafka]\n"sasl.password" = "1e5"\nsocket.keepalive.enable = true\n[kafka.linger]\nms = 5\n'
    assert trace(toml=toml).settings.kafka == {
        "sasl.password": "1e5",
        "socket.keepalive.enable": "true",
        "linger.ms": "5",
    }


@pytest.mark.parametrize(("higher", "lower"), [("MECHANISM", "MECHANISMS"), ("MECHANISMS", "MECHANISM")])
def test_property_is_replaced_when_a_higher_alias_is_set(trace: Trace, higher: str, lower: str) -> None:
    """If librdkafka got both, the last one would win."""
    loaded = trace(
        environ={f"TELCO_STREAM_KAFKA__SASL__{higher}": "PLAIN"},
        dotenv=f"TELCO_STREAM_KAFKA__SASL__{lower}=GSSAPI\nTELCO_STREAM_KAFKA__SASL__USERNAME=u",
    )
    assert loaded.settings.kafka == {f"sasl.{higher.lower()}": "PLAIN", "sasl.username": "u"}


def test_load_has_no_effect_on_later_settings(trace: Trace) -> None:
    assert trace({"bootstrap_servers": "elsewhere:9092"}).settings != Settings()
    assert Settings().bootstrap_servers == "localhost:9092"


def test_secrets_are_masked_and_not_in_the_repr(trace: Trace) -> None:
    loaded = trace(environ={"TELCO_STREAM_KAFKA__SASL__PASSWORD": "hunter2", "TELCO_STREAM_KAFKA__LINGER__MS": "7"})
    assert value_of(loaded, "kafka.sasl.password") == "********"
    assert value_of(loaded, "kafka.linger.ms") == "7"
    assert "hunter2" not in repr(loaded)
    assert loaded.settings.kafka["sasl.password"] == "hunter2"


def test_settings_can_be_pickled(trace: Trace) -> None:
    settings = trace({"consumer.group_id": "g"}).settings
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_load_raises_key_error_when_a_flag_is_unknown(trace: Trace) -> None:
    with pytest.raises(KeyError):
        trace({"consumer.gruop_id": "g"})


def test_settings_are_frozen(trace: Trace) -> None:
    settings = trace().settings
    for group, name in ((settings, "bootstrap_servers"), (settings.consumer, "group_id")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(group, name, "other")
