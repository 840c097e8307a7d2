"""Every failure that a user can act on. Each is one line on stderr and carries its own exit code."""


class TelcoStreamError(Exception):
    """What happened and what to do, in one line, without a customer's data."""

    exit_code = 1


class UsageError(TelcoStreamError):
    """An option or a setting is wrong."""

    exit_code = 2


class KafkaError(TelcoStreamError):
    """Kafka is unreachable, refuses, lacks a topic, or the client has failed for good."""

    exit_code = 3


class ModelError(TelcoStreamError):
    """The model was refused; nothing of it has been loaded."""

    exit_code = 4


class DataError(TelcoStreamError):
    """The data was refused: a file, a checkpoint, too many dead letters, a gap, a limit."""

    exit_code = 5


class FencedError(TelcoStreamError):
    """Another instance has taken over this one's transactional id or group instance id."""

    exit_code = 6
