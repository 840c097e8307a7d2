"""The settings, as one typed tree; each field's description is what people read in `.env.example` and `config show`."""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from telco_stream.settings.validators import check_brokers, check_member

Text: TypeAlias = Annotated[str, Field(min_length=1)]
#: Text that may be absent; an empty variable, as Compose passes for one that isn't set, is absent too.
OptionalText: TypeAlias = Annotated[str | None, BeforeValidator(lambda value: None if value == "" else value)]
Positive: TypeAlias = Annotated[int, Field(gt=0)]
Brokers: TypeAlias = Annotated[str, AfterValidator(check_brokers)]
Member: TypeAlias = Annotated[str, AfterValidator(check_member)]
#: What Kafka accepts as the name of a topic.
TopicName: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
#: pydantic-settings asks the class for its sources, never the caller: `load` leaves them here while it builds one tree.
SOURCES: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("SOURCES", default=())


class SettingsGroup(BaseModel):
    """Settings that belong together; pydantic's errors never show what was given, because it may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class TopicSettings(SettingsGroup):
    """The three topics, and how `topics init` creates them."""

    raw: TopicName = Field(default="telco.raw.customers", description="Topic of the customer events.")
    predictions: TopicName = Field(default="telco.churn.predictions", description="Topic of the predictions.")
    deadletter: TopicName = Field(
        default="telco.deadletter", description="Topic of the records that could not be scored."
    )
    raw_partitions: Positive = Field(default=3, description="Partitions of the raw topic, when it is created.")
    predictions_partitions: Positive = Field(
        default=3, description="Partitions of the predictions topic, when it is created."
    )
    deadletter_partitions: Positive = Field(
        default=1, description="Partitions of the dead-letter topic, when it is created."
    )
    replication_factor: int = Field(
        default=1, ge=1, le=32_767, description="Copies that Kafka keeps of each partition."
    )
    retention_ms: int = Field(
        default=604_800_000, ge=-1, description="Milliseconds that records are kept; -1 is for ever."
    )
    deadletter_max_message_bytes: int = Field(
        default=2_097_152,
        ge=16_384,
        le=1_000_000_000,
        description="Largest dead letter, in bytes; longer originals are cut.",
    )

    @model_validator(mode="after")
    def _are_three(self) -> Self:
        names = [self.raw, self.predictions, self.deadletter]
        if len(set(names)) < len(names):
            raise ValueError("raw, predictions and deadletter should be three different topics")
        return self


class ProducerSettings(SettingsGroup):
    """What `produce` reads and how fast it sends."""

    batch_size: Positive = Field(default=1_000, description="Rows read, checked and confirmed at a time.")
    events_per_sec: float = Field(default=10.0, ge=0, description="Rate in streaming mode; 0 is as fast as possible.")
    data_path: OptionalText = Field(
        default=None, description="CSV to send; empty is the sample that comes with the package."
    )
    checkpoint_file: Text = Field(
        default="checkpoints/producer.json", description="File that keeps the progress of a pass."
    )


class ConsumerSettings(SettingsGroup):
    """How `consume` takes records, and when it gives up."""

    group_id: Member = Field(
        default="churn-prediction-group", description="Consumer group; its members share the partitions."
    )
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        default="earliest",
        description="Where a group without committed offsets starts: earliest or latest.",
    )
    max_poll_records: int = Field(
        default=5_000, ge=1, le=1_000_000, description="The most records one micro-batch takes."
    )
    transactional_id: OptionalText = Field(
        default=None,
        description="Fixed id for exactly-once, one per process; empty is an id of its own for each start.",
    )
    stall_seconds: float = Field(
        default=60.0, gt=0, description="Seconds without progress after which the consumer is stalled."
    )
    window_size: Positive = Field(default=1_000, description="Records in one window of batch mode.")
    scoring_threads: Positive = Field(default=1, description="Threads that score one micro-batch.")
    max_consecutive_dead_letters: int = Field(
        default=1_000, ge=0, description="Dead letters in a row after which consume stops; 0 is never."
    )


class ModelSettings(SettingsGroup):
    """Which model answers."""

    path: OptionalText = Field(default=None, description="Folder of the model; empty is the bundled model.")


class MetricsSettings(SettingsGroup):
    """Where metrics are served."""

    host: Text = Field(
        default="localhost", description="Address at which --metrics-port listens; * is every address, IPv4 and IPv6."
    )


class Settings(BaseSettings):
    """All settings. Made by hand it holds just what it is given and the defaults; `load` reads the world."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    bootstrap_servers: Brokers = Field(
        default="localhost:9092", description="Kafka brokers, as HOST:PORT[,HOST:PORT...]."
    )
    topics: TopicSettings = TopicSettings()
    producer: ProducerSettings = ProducerSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    model: ModelSettings = ModelSettings()
    metrics: MetricsSettings = MetricsSettings()
    #: librdkafka properties by their own names, verbatim; left out of the repr because there are passwords among them.
    kafka: dict[str, str] = Field(default={}, repr=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the caller gave, then the project's own sources: pydantic's decode text and pass over misspelt names."""
        return init_settings, *SOURCES.get()


def _fields(group: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, SettingsGroup):
            yield from _fields(kind, f"{prefix}{name}.")
        elif name != "kafka":
            yield prefix + name, field


#: Every setting by its dotted name, in the tree's order; the pass-through properties have no fixed names.
FIELDS: dict[str, FieldInfo] = dict(_fields(Settings))
