"""A broker that may be killed, beside a controller that outlives it."""

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.support.kafka_container import IMAGE, QUICK_RESTART, KafkaContainer
from tests.support.waiting import wait_until

#: As `Started` is said by every node, and the loss of a broker by its controller.
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
    """One broker, one controller, one address.

    A node that is both forgets at a SIGKILL that it is gone: started again it leads its partitions as before, loses its
    old session, and for a moment has no leader for any. A transaction that it ends in that moment is left without its
    markers ("likely deleted already and hence can be skipped", says Kafka 4.3.1), and hangs for ever.
    """

    def __init__(self, **settings: str) -> None:
        super().__init__(**QUICK_RESTART, **_VOTERS, **_BROKER, **settings)
        self._controller = DockerContainer(IMAGE)
        self._controller.with_bind_ports(9092, self.port)  # the broker's, which shares the controller's network
        self._controller.waiting_for(LogMessageWaitStrategy(_STARTED).with_startup_timeout(60))
        for name, value in (_VOTERS | _CONTROLLER | QUICK_RESTART | settings).items():
            self._controller.with_env(f"KAFKA_{name.upper()}", value)
        self.ports.clear()
        self._losses = 0

    def start(self) -> "CrashingKafka":
        """Both run, and the broker answers."""
        self._controller.start()
        self.with_kwargs(network_mode=f"container:{self._controller.get_wrapped_container().id}")
        super().start()
        return self

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Neither is left."""
        super().stop(force, delete_volume)
        self._controller.stop(force, delete_volume)

    def kill(self) -> None:
        """SIGKILL for the broker."""
        self._losses = self._times_lost()
        super().kill()

    def start_again(self) -> None:
        """After `kill`, and once the controller has seen it go, it answers again at the same address."""
        wait_until(lambda: self._times_lost() > self._losses, 60, "the controller's word that the broker is gone")
        super().start_again()

    def _times_lost(self) -> int:
        out, err = self._controller.get_logs()
        return (out + err).decode(errors="replace").count(_FENCED)
