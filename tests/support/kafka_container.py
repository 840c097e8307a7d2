"""A real Apache Kafka in a container, one node, ready for transactions."""

import os
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.ports import free_port
from tests.support.waiting import wait_until

# Saves pulling the reaper image: the fixtures remove what they start. Read when testcontainers is imported.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from testcontainers.core.container import DockerContainer

IMAGE = "apache/kafka:4.3.1"
#: A broker with these settings is back 4 s after a SIGKILL instead of 12.
QUICK_RESTART = {"broker_session_timeout_ms": "2000", "broker_heartbeat_interval_ms": "500"}

#: Lines of Kafka's log that a failed test shows.
_EVIDENCE_LINES = 120

#: A broker with these settings starts faster and uses less CPU time: it needs neither throughput nor fifty
#: partitions per internal topic, nor indexes of 10 MB for each of the partitions that a test creates and deletes.
SMALL = {
    "jvm_performance_opts": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    "heap_opts": "-Xms128m -Xmx512m",
    "offsets_topic_num_partitions": "3",
    "transaction_state_log_num_partitions": "3",
    "log_index_size_max_bytes": "1048576",
}


class KafkaContainer(DockerContainer):
    """A context manager that starts Kafka, and removes container and volumes afterwards."""

    def __init__(self, **settings: str) -> None:
        super().__init__(IMAGE)
        # A port chosen by Docker would change on restart, but Kafka advertises the first one.
        self.port = free_port()
        self.with_bind_ports(9092, self.port)
        # Setting one KAFKA_* variable drops all defaults of the image, so all settings are passed.
        for name, value in (_settings(self.port) | settings).items():
            self.with_env(f"KAFKA_{name.upper()}", value)

    @property
    def bootstrap(self) -> str:
        """Return the bootstrap address, which survives restarts."""
        return f"localhost:{self.port}"

    def start(self) -> "KafkaContainer":
        """Start the container and wait until Kafka answers."""
        super().start()
        self._wait()
        return self

    def kill(self) -> None:
        """Send SIGKILL to Kafka; its data is kept."""
        self.get_wrapped_container().kill()

    def start_again(self) -> None:
        """Restart a killed container and wait until Kafka answers at the same address."""
        self.get_wrapped_container().start()
        self._wait()

    def pause(self) -> None:
        """Freeze Kafka as SIGSTOP does: connections stay open, but requests are not answered."""
        self.get_wrapped_container().pause()

    def unpause(self) -> None:
        """Resume a paused Kafka."""
        self.get_wrapped_container().unpause()

    def evidence(self) -> str:
        """Return the last lines of Kafka's log and the state of each transactional ID, to explain a failed test."""
        transactions = "/opt/kafka/bin/kafka-transactions.sh --bootstrap-server localhost:9095 list"
        answer = self.get_wrapped_container().exec_run(f"timeout 20 {transactions}")
        log = self.get_wrapped_container().logs(tail=_EVIDENCE_LINES)
        return str((log + answer.output).decode(errors="replace"))

    def _wait(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200})
        wait_until(lambda: self._answers(admin), 60, f"an answer of {IMAGE}")

    def _answers(self, admin: AdminClient) -> bool:
        container: Any = self.get_wrapped_container()
        container.reload()
        assert container.status == "running", f"{IMAGE} ended: {container.logs(tail=20).decode(errors='replace')}"
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False


def docker_unavailable_reason() -> str | None:
    """Return why no Kafka container can be started here, in one line, or None if Docker works."""
    try:
        client = docker.from_env()
        try:
            client.images.get(IMAGE)
        except ImageNotFound:
            client.images.pull(IMAGE)
    except APIError as error:
        return f"the image {IMAGE} is missing and cannot be pulled ({_line(error)})"
    except DockerException as error:
        return f"the Docker daemon does not answer ({_line(error)})"
    client.close()
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _settings(port: int) -> dict[str, str]:
    return {
        "node_id": "1",
        "process_roles": "broker,controller",
        # The broker connects to itself through BROKER: its transactions would hang through the advertised host port.
        "listeners": "PLAINTEXT://:9092,BROKER://:9095,CONTROLLER://:9093",
        "advertised_listeners": f"PLAINTEXT://localhost:{port},BROKER://localhost:9095",
        "listener_security_protocol_map": "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter_broker_listener_name": "BROKER",
        "controller_listener_names": "CONTROLLER",
        "controller_quorum_voters": "1@localhost:9093",
        "offsets_topic_replication_factor": "1",
        "transaction_state_log_replication_factor": "1",
        "transaction_state_log_min_isr": "1",
        "group_initial_rebalance_delay_ms": "0",
        "auto_create_topics_enable": "false",
    }
