import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.certificates import NO_OPENSSL
from tests.support.cli import ROOT, RunningCli
from tests.support.crashing_kafka import CrashingKafka
from tests.support.kafka_container import QUICK_RESTART, KafkaContainer, why_no_container
from tests.support.mock_cluster import MockCluster
from tests.support.own_log import log_as_before
from tests.support.secured_kafka import SecuredKafka
from tests.support.topics import Topics, create_topics, delete_topics, fresh_topics

# Read before `clean_surroundings` removes them.
GIVEN_BROKER = os.environ.get("TEST_KAFKA_BOOTSTRAP") or os.environ.get("TELCO_STREAM_TEST_BOOTSTRAP")
REAL_DATA = Path(os.environ.get("TELCO_STREAM_TEST_DATA") or ROOT.parent / "shared/data/telco_customer_churn.csv")
NO_KAFKA = pytest.StashKey[str]()
#: Fixtures that need a real Kafka, and the marker of whatever uses them.
NEEDS = [
    ("kafka", "real"),
    ("own_kafka", "own_broker"),
    ("crashing_kafka", "own_broker"),
    ("secured_kafka", "own_broker"),
]


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker, and the topics of one test on it; `real` or embedded."""

    bootstrap: str
    topics: Topics
    real: bool


@pytest.fixture(autouse=True)
def clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test stands in an empty folder, without settings, colours or a log from the outside."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("TELCO_STREAM_") or name in {"NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "COLUMNS"}:
            monkeypatch.delenv(name)
    with log_as_before():
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The public data set's CSV."""
    if not REAL_DATA.is_file():
        pytest.skip(f"the public data set is not at {REAL_DATA}; TELCO_STREAM_TEST_DATA can name it")
    return REAL_DATA


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[str]:
    """Bootstrap address of a real Apache Kafka, one for the whole session."""
    if GIVEN_BROKER:
        yield GIVEN_BROKER
        return
    _need_containers(pytestconfig)
    with KafkaContainer() as container:
        yield container.bootstrap


@pytest.fixture
def own_kafka(pytestconfig: pytest.Config) -> Iterator[KafkaContainer]:
    """A real Kafka of the test's own, to kill and pause."""
    _need_containers(pytestconfig)
    with KafkaContainer(**QUICK_RESTART) as container:
        yield container


@pytest.fixture
def crashing_kafka(pytestconfig: pytest.Config) -> Iterator[CrashingKafka]:
    """A real Kafka of the test's own, to kill while transactions are open."""
    _need_containers(pytestconfig)
    with CrashingKafka() as container:
        yield container


@pytest.fixture(scope="module")
def secured_kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A real Kafka of the module's own with TLS, SASL and ACLs; nobody has any right yet."""
    if NO_OPENSSL:
        pytest.skip(NO_OPENSSL)
    _need_containers(pytestconfig)
    with SecuredKafka(tmp_path_factory.mktemp("certificates")) as container:
        yield container


@pytest.fixture
def topics(kafka: str) -> Iterator[Topics]:
    """Empty topics of the test's own on the real Kafka: raw 3, predictions 3, dead letters 1 partition."""
    names = fresh_topics()
    create_topics(kafka, names)
    yield names
    delete_topics(kafka, names)


@pytest.fixture
def embedded() -> Iterator[MockCluster]:
    """librdkafka's mock cluster of one broker, empty, of the test's own."""
    cluster = MockCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def embedded_topics(embedded: MockCluster) -> Topics:
    """As `topics`, on the embedded broker."""
    names = fresh_topics()
    for name, partitions in names.partitions().items():
        embedded.create_topic(name, partitions)
    return names


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Runs the test twice: on the embedded broker, and on a real Kafka."""
    if request.param == "real":
        return Broker(request.getfixturevalue("kafka"), request.getfixturevalue("topics"), real=True)
    cluster: MockCluster = request.getfixturevalue("embedded")
    return Broker(cluster.bootstrap, request.getfixturevalue("embedded_topics"), real=False)


@pytest.fixture
def start_cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningCli]]:
    """Starts `telco-stream` beside the test: `start_cli(*args, env=…, cwd=…)`; none outlives the test."""
    running: list[RunningCli] = []

    def start(*args: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> RunningCli:
        running.append(RunningCli(args, tmp_path_factory.mktemp("cli"), env, cwd))
        return running[-1]

    yield start
    for cli in running:
        cli.end()


def pytest_configure() -> None:
    # SIGTERM ends a run as Ctrl-C does: with the fixtures torn down, so that no container stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Whatever uses a real Kafka is marked so before `-m` chooses, and runs after the rest in whatever order."""
    for item, (fixture, marker) in itertools.product(items, NEEDS):
        if fixture in getattr(item, "fixturenames", []):
            item.add_marker(marker)
    yield
    items.sort(key=_needs)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if NO_KAFKA in config.stash:
        terminalreporter.section("no real Kafka")
        terminalreporter.line(config.stash[NO_KAFKA])


def _needs(item: pytest.Item) -> int:
    return 2 if item.get_closest_marker("own_broker") else 1 if item.get_closest_marker("real") else 0


def _need_containers(config: pytest.Config) -> None:
    if reason := why_no_container():
        _no_kafka(config, f"{reason}; start Docker, or name a broker in TEST_KAFKA_BOOTSTRAP")


def _no_kafka(config: pytest.Config, reason: str) -> NoReturn:
    config.stash[NO_KAFKA] = reason
    if os.environ.get("CI"):
        pytest.fail(f"CI is set and there is no real Kafka: {reason}")
    pytest.skip(f"no real Kafka: {reason}")
