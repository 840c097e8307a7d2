"""Follows one partition of a topic from an offset on, outside any consumer group, without an end."""

from typing import cast

from confluent_kafka import KafkaError, TopicPartition

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.error_policy import consumer_failure, is_fatal
from telco_stream.messages.record import Record


class Tail:
    """Consumer that waits for new committed records. While the broker is away it waits, too."""

    def __init__(self, clients: Clients, topic: str, partition: int, offset: int) -> None:
        self._consumer = clients.consumer("telco-stream-reader")
        self._consumer.assign([TopicPartition(topic, partition, offset)])

    def poll(self, timeout: float) -> Record | None:
        """Return the next record, or None after `timeout` seconds; raise `errors.KafkaError` if there is no way on."""
        message = self._consumer.poll(timeout)
        if message is None or (error := message.error()) is None:
            return cast("Record | None", message)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the client's public name
            raise errors.KafkaError(f"The offset to continue at no longer exists: {error.str()}")
        is_about_topic = message.topic() is not None or is_fatal(error)  # the client has no group
        if is_about_topic and (failure := consumer_failure(message)) is not None:
            raise failure
        return None

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()
