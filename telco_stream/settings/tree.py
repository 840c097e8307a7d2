"""The settings as a typed tree. `.env.example`, `config show` and the docs show the descriptions."""

import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from telco_stream.settings.properties import check_member, secrets_of

#: A broker address as librdkafka reads it. The default port is 9092; a port above 65,535 would wrap around.
_BROKER = re.compile(r"((SASL_)?(PLAINTEXT|SSL)://)?([\w.-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?", re.IGNORECASE)
_MAX_PORT = 65_535


def check_brokers(text: str) -> str:
    """Return the text if it lists at least one broker address; raises ValueError otherwise."""
    brokers = [_BROKER.fullmatch(address.strip()) for address in text.split(",") if address.strip()]
    if not brokers or not all(broker and 1 <= int(broker["port"] or 9092) <= _MAX_PORT for broker in brokers):
        raise ValueError("use HOST:PORT[,HOST:PORT...]")
    return text


Text: TypeAlias = Annotated[str, Field(min_length=1)]
#: Text that is None if empty, because Compose passes unset variables as empty ones.
OptionalText: TypeAlias = Annotated[str | None, BeforeValidator(lambda value: None if value == "" else value)]
Positive: TypeAlias = Annotated[int, Field(gt=0)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Brokers: TypeAlias = Annotated[str, AfterValidator(check_brokers)]
Member: TypeAlias = Annotated[str, AfterValidator(check_member)]
#: A name that Kafka accepts for a topic.
TopicName: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
#: The only setting that is a secret, besides librdkafka properties.
SIGNING_KEY = "model.signing_key"
#: The sources of the settings that `load` is building, because pydantic-settings asks the class for its sources.
SOURCES: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("SOURCES", default=())


#: Errors hide the input, which may be a secret.
_CONFIG = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class SettingsGroup(BaseModel):
    """Base of the groups."""

    model_config = _CONFIG


class TopicSettings(SettingsGroup):
    """The topics, and how `topics init` creates them."""

    raw: TopicName = Field(default="telco.raw.customers", description="Topic of the customer events.")
    predictions: TopicName = Field(default="telco.churn.predictions", description="Topic of the predictions.")
    deadletter: TopicName = Field(
        default="telco.deadletter", description="Topic of the records that could not be scored."
    )
    models: TopicName = Field(default="telco.models", description="Topic of the published models and their roles.")
    outcomes: TopicName = Field(
        default="telco.churn.outcomes", description="Topic of the outcomes: what came of the predictions."
    )
    raw_partitions: Positive = Field(
        default=3, description="Number of partitions with which topics init creates the raw topic."
    )
    predictions_partitions: Positive = Field(
        default=3,
        description="Number of partitions with which topics init creates"
        " the predictions topic, and that of the outcomes.",
    )
    deadletter_partitions: Positive = Field(
        default=1, description="Number of partitions with which topics init creates the dead-letter topic."
    )
    replication_factor: int = Field(default=1, ge=1, le=32_767, description="Number of replicas of each partition.")
    retention_ms: int = Field(
        default=604_800_000, ge=-1, description="Milliseconds for which Kafka keeps records; -1 is forever."
    )
    deadletter_max_message_bytes: int = Field(
        default=2_097_152,
        ge=16_384,
        le=1_000_000_000,
        description="Maximum size of a dead letter in bytes; longer originals are truncated.",
    )

    @model_validator(mode="after")
    def _check_different(self) -> Self:
        names = [self.raw, self.predictions, self.deadletter, self.models, self.outcomes]
        if len(set(names)) < len(names):
            raise ValueError("raw, predictions, deadletter, models and outcomes must be five different topics")
        return self


class ProducerSettings(SettingsGroup):
    """The input of `produce` and its rate."""

    batch_size: Positive = Field(default=1_000, description="Rows that are read, validated and confirmed at a time.")
    events_per_sec: float = Field(
        default=10.0, ge=0, description="Rows per second in streaming mode; 0 is as fast as possible."
    )
    data_path: OptionalText = Field(default=None, description="CSV file to send; empty selects the bundled sample.")
    checkpoint_file: Text = Field(
        default="checkpoints/producer.json", description="File in which batch mode saves its progress."
    )


class ConsumerSettings(SettingsGroup):
    """The group of `consume`, its batches and its limits."""

    group_id: Member = Field(
        default="churn-prediction-group", description="Consumer group; its members share the partitions."
    )
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        default="earliest", description="Where a group without committed offsets starts: earliest or latest."
    )
    max_poll_records: int = Field(
        default=5_000, ge=1, le=1_000_000, description="Maximum number of records in a micro-batch."
    )
    transactional_id: OptionalText = Field(
        default=None, description="Fixed transactional ID, unique per process; empty generates a new one at each start."
    )
    stall_seconds: float = Field(
        default=60.0, gt=0, description="Seconds without progress after which a partition counts as stalled."
    )
    window_size: Positive = Field(default=1_000, description="Number of records in a window of batch mode.")
    max_consecutive_dead_letters: int = Field(
        default=1_000,
        ge=0,
        description="Number of consecutive dead letters after which consume stops; 0 disables the limit.",
    )

    @property
    def outcomes_group(self) -> str:
        """Consumer group of `outcomes check`, and its transactional ID."""
        return f"{self.group_id}-outcomes"


class ModelSettings(SettingsGroup):
    """The model that scores."""

    path: OptionalText = Field(
        default=None,
        description="Model folder, or kafka:TOPIC, with the contract of all commands; empty selects the bundled model.",
    )
    signing_key: OptionalText = Field(
        default=None,
        repr=False,
        description="Key that signs the records of the models topic;"
        " with a key, records without its signature are ignored.",
    )
    gate_records: Positive = Field(
        default=5_000,
        description="Number of the newest records on which a candidate"
        " from a topic is compared with the serving model.",
    )
    gate_failures: Share = Field(
        default=0.01,
        description="Largest share of those records on which the"
        " candidate may fail although the serving model does not.",
    )
    gate_changed: Share = Field(
        default=0.2, description="Largest share of those records for which the candidate may predict the other value."
    )
    gate_shift: Share = Field(default=0.1, description="Largest difference of the mean probabilities.")
    gate_microseconds: float = Field(
        default=200.0, gt=0, description="Longest time in microseconds that the candidate may take per record."
    )
    rollback_failures: Share = Field(
        default=0.01,
        description="Share of failures, within chance, at which a promoted"
        " version is rolled back in its first 100,000 records.",
    )


class DriftSettings(SettingsGroup):
    """The windows of records that `consume` compares with the model's baseline."""

    window_records: int = Field(
        default=20_000,
        ge=0,
        description="Records of a window in which consume looks for drift,"
        " 500 up to the rows of the baseline; 0 disables it.",
    )
    window_seconds: float = Field(
        default=3_600.0,
        gt=0,
        description="Seconds after which a window is compared although it has fewer records, if it has 500.",
    )


class MetricsSettings(SettingsGroup):
    """The address of the metrics."""

    host: Text = Field(
        default="localhost", description="Address on which --metrics-port listens; * is all addresses, IPv4 and IPv6."
    )


class Settings(BaseSettings):
    """All settings. The constructor takes given values and defaults only; `load` also reads environment and files."""

    model_config: ClassVar[SettingsConfigDict] = _CONFIG

    bootstrap_servers: Brokers = Field(
        default="localhost:9092", description="Kafka brokers, as HOST:PORT[,HOST:PORT...]."
    )
    topics: TopicSettings = TopicSettings()
    producer: ProducerSettings = ProducerSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    model: ModelSettings = ModelSettings()
    drift: DriftSettings = DriftSettings()
    metrics: MetricsSettings = MetricsSettings()
    #: librdkafka properties by name, passed on verbatim; not in the repr, because some are passwords.
    kafka: dict[str, str] = Field(default={}, repr=False)

    def secrets(self) -> dict[str, str]:
        """Return the values that must not be shown, under each name that a log may give them."""
        key = self.model.signing_key
        return secrets_of(self.kafka) | ({} if key is None else {SIGNING_KEY: key})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes it
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: constructor arguments, then the project's own."""
        return init_settings, *SOURCES.get()


def _fields(group: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, SettingsGroup):
            yield from _fields(kind, f"{prefix}{name}.")
        elif name != "kafka":
            yield prefix + name, field


#: All settings by dotted name, in the order of the tree, without the librdkafka properties.
FIELDS: dict[str, FieldInfo] = dict(_fields(Settings))
