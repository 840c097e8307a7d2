import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest

from tests.support import run_summary
from tests.support.certificates import NO_OPENSSL
from tests.support.cli import RunningCli
from tests.support.crashing_kafka import CrashingKafka
from tests.support.foreign_data import NO_TELCO_DATA, TELCO
from tests.support.kafka_container import QUICK_RESTART, SMALL, KafkaContainer, docker_unavailable_reason
from tests.support.mock_cluster import MockCluster
from tests.support.parallel_run import (
    is_worker,
    remove_shared_kafka,
    run_lock,
    shared_kafka,
    sort_items,
)
from tests.support.process_state import restore_gc, restore_logging
from tests.support.run_summary import NO_KAFKA
from tests.support.secured_kafka import SecuredKafka
from tests.support.topics import (
    Topics,
    create_by_metadata,
    create_internal_topics,
    create_topics,
    delete_topics,
    fresh_topics,
)

#: Without a limit for one example: a shared machine can pause for longer than any.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")

# Read at import: `clean_environment` removes the variables.
GIVEN_BROKER = os.environ.get("TEST_KAFKA_BOOTSTRAP") or os.environ.get("TELCO_STREAM_TEST_BOOTSTRAP")
#: A folder that all xdist workers of the run share.
COMMON = pytest.StashKey[Path]()
#: Fixtures that need a real Kafka, and the marker that their tests get.
NEEDS = [
    ("kafka", "real"),
    ("own_kafka", "own_broker"),
    ("crashing_kafka", "own_broker"),
    ("secured_kafka", "own_broker"),
    ("unreachable_kafka", "own_broker"),
]


@dataclass(frozen=True, slots=True)
class Broker:
    """A real or embedded broker with the topics of one test."""

    bootstrap: str
    topics: Topics
    real: bool


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run each test in an empty folder, without settings, colours or log handlers from outside."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("TELCO_STREAM_") or name in {"NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "COLUMNS"}:
            monkeypatch.delenv(name)
    with restore_logging(), restore_gc():
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the path of the public data set's CSV file; if it is missing, skip the test, or fail it with CI set."""
    if not TELCO.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_TELCO_DATA)
    return TELCO


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[str]:
    """Yield the bootstrap address of a real Apache Kafka that the whole run shares."""
    if GIVEN_BROKER:
        yield GIVEN_BROKER
        return
    require_containers(pytestconfig)
    if COMMON in pytestconfig.stash:
        yield shared_kafka(pytestconfig.stash[COMMON])
        return
    with KafkaContainer(**SMALL) as container:
        create_internal_topics(container.bootstrap)
        yield container.bootstrap


@pytest.fixture
def own_kafka(pytestconfig: pytest.Config) -> Iterator[KafkaContainer]:
    """Yield a real Kafka for this test alone, which may kill and pause it."""
    require_containers(pytestconfig)
    with KafkaContainer(**QUICK_RESTART, **SMALL) as container:
        yield container


@pytest.fixture
def crashing_kafka(pytestconfig: pytest.Config) -> Iterator[CrashingKafka]:
    """Yield a real Kafka for this test alone, which may kill it while transactions are open."""
    require_containers(pytestconfig)
    with CrashingKafka(**SMALL) as container:
        yield container


@pytest.fixture(scope="module")
def secured_kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Yield a real Kafka for this module with TLS, SASL and ACLs, where no user has any permission yet."""
    if NO_OPENSSL:
        pytest.skip(NO_OPENSSL)
    require_containers(pytestconfig)
    with SecuredKafka(tmp_path_factory.mktemp("certificates")) as container:
        yield container


@pytest.fixture(scope="module")
def unreachable_kafka(pytestconfig: pytest.Config) -> Iterator[str]:
    """Yield the bootstrap address of a real Kafka that advertises an unreachable name; it has the default topics."""
    require_containers(pytestconfig)
    listeners = "PLAINTEXT://kafka-internal:9092,BROKER://localhost:9095"
    created = {"auto_create_topics_enable": "true", "num_partitions": "3"}
    with KafkaContainer(**SMALL, **created, advertised_listeners=listeners) as container:
        create_by_metadata(container.bootstrap, "telco.raw.customers", "telco.churn.predictions", "telco.deadletter")
        yield f"127.0.0.1:{container.port}"


@pytest.fixture
def topics(kafka: str) -> Iterator[Topics]:
    """Create empty topics on the real Kafka: raw and predictions with 3 partitions, dead letters with 1."""
    names = fresh_topics()
    create_topics(kafka, names)
    yield names
    delete_topics(kafka, names)


@pytest.fixture
def embedded() -> Iterator[MockCluster]:
    """Yield an empty librdkafka mock cluster with one broker."""
    cluster = MockCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def embedded_topics(embedded: MockCluster) -> Topics:
    """Create the same topics as `topics` on the embedded broker."""
    names = fresh_topics()
    for name, partitions in names.partitions().items():
        embedded.create_topic(name, partitions)
    return names


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Run the test twice: on the embedded broker, and on a real Kafka."""
    if request.param == "real":
        return Broker(request.getfixturevalue("kafka"), request.getfixturevalue("topics"), real=True)
    cluster: MockCluster = request.getfixturevalue("embedded")
    return Broker(cluster.bootstrap, request.getfixturevalue("embedded_topics"), real=False)


@pytest.fixture
def start_cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningCli]]:
    """Return `start_cli(*args, env=…, cwd=…)`, which starts a `telco-stream` process; it is killed after the test."""
    running: list[RunningCli] = []

    def start(*args: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> RunningCli:
        running.append(RunningCli(args, tmp_path_factory.mktemp("cli"), env, cwd))
        return running[-1]

    yield start
    for cli in running:
        cli.end()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(run_summary)
    # SIGTERM tears down the fixtures as Ctrl-C does, so that no container is left behind.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt if is_worker() else signal.default_int_handler)
    if hasattr(config, "workerinput"):
        config.stash[COMMON] = Path(config.workerinput["common"])
        # The BLAS threads of several workers would busy-wait for each other; numpy reads these when it is imported.
        os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the shared folder to an xdist worker before it starts."""
    if COMMON not in node.config.stash:
        node.config.stash[COMMON] = Path(tempfile.mkdtemp(prefix="telco-stream-tests-"))
    node.workerinput["common"] = str(node.config.stash[COMMON])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from tests.support.xdist_scheduler import FixtureScheduler  # noqa: PLC0415 - only xdist calls this hook

    return FixtureScheduler(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use more workers than cores, because most tests wait most of the time."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if COMMON not in item.config.stash:
        return (yield)
    with run_lock(item, item.config.stash[COMMON]):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark tests that use a real Kafka before `-m` selects."""
    for item, (fixture, marker) in itertools.product(items, NEEDS):
        if fixture in getattr(item, "fixturenames", []):
            item.add_marker(marker)
    yield
    sort_items(items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what the xdist workers shared; they have ended by now."""
    if COMMON in session.config.stash and not is_worker():
        common = session.config.stash[COMMON]
        remove_shared_kafka(common)
        shutil.rmtree(common)


def _interrupt(*_: object) -> NoReturn:
    """Interrupt the run at the first signal; ignore later ones, which would break off the clean-up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def require_containers(config: pytest.Config) -> None:
    """Skip the test, or fail it in CI, if Docker cannot run a Kafka container."""
    if reason := docker_unavailable_reason():
        _skip_without_kafka(config, f"{reason}; start Docker, or set TEST_KAFKA_BOOTSTRAP to a broker's address")


def _skip_without_kafka(config: pytest.Config, reason: str) -> NoReturn:
    config.stash[NO_KAFKA] = reason
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, but no real Kafka is available: {reason}")
    pytest.skip(f"no real Kafka: {reason}")
