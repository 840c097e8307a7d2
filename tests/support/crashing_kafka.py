"""A Kafka broker that tests can kill, with a separate controller that keeps running."""

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.support.kafka_container import IMAGE, QUICK_RESTART, KafkaContainer
from tests.support.waiting import wait_until

#: Log texts: every node prints the first when it has started, the controller the second when it has fenced a broker.
_STARTED, _FENCED = "Kafka Server started", "fenced=1"
_VOTERS = {"controller_quorum_voters": "2@localhost:9093", "controller_listener_names": "CONTROLLER"}
_BROKER = {"process_roles": "broker", "listeners": "PLAINTEXT://:9092,BROKER://:9095"}
_CONTROLLER = {
    "node_id": "2",
    "process_roles": "controller",
    "listeners": "CONTROLLER://:9093",
    "listener_security_protocol_map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT",
    "offsets_topic_replication_factor": "1",
    "transaction_state_log_replication_factor": "1",
    "transaction_state_log_min_isr": "1",
}


class CrashingKafka(KafkaContainer):
    """One broker and one controller in separate containers, reached at one address.

    A combined node does not notice its own SIGKILL: after a restart it first leads its partitions as before, then loses
    its old session and briefly has no leaders. If it ends a transaction at that moment, Kafka 4.3.1 skips the markers
    ("likely deleted already and hence can be skipped"), and the transaction hangs for ever.
    """

    def __init__(self, **settings: str) -> None:
        super().__init__(**QUICK_RESTART, **_VOTERS, **_BROKER, **settings)
        self._controller = DockerContainer(IMAGE)
        self._controller.with_bind_ports(9092, self.port)  # the broker's port; it shares the controller's network
        self._controller.waiting_for(LogMessageWaitStrategy(_STARTED).with_startup_timeout(60))
        for name, value in (_VOTERS | _CONTROLLER | QUICK_RESTART | settings).items():
            self._controller.with_env(f"KAFKA_{name.upper()}", value)
        self.ports.clear()
        self._fenced_before = 0

    def start(self) -> "CrashingKafka":
        """Start controller and broker, and wait until the broker answers."""
        self._controller.start()
        self.with_kwargs(network_mode=f"container:{self._controller.get_wrapped_container().id}")
        super().start()
        return self

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Remove both containers."""
        super().stop(force, delete_volume)
        self._controller.stop(force, delete_volume)

    def kill(self) -> None:
        """Send SIGKILL to the broker."""
        self._fenced_before = self._fenced_count()
        super().kill()

    def start_again(self) -> None:
        """Restart the killed broker once the controller has fenced it, and wait until it answers."""
        wait_until(lambda: self._fenced_count() > self._fenced_before, 60, "the controller's fencing of the broker")
        super().start_again()

    def _fenced_count(self) -> int:
        out, err = self._controller.get_logs()
        return (out + err).decode(errors="replace").count(_FENCED)
