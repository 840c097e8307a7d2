"""Errors that a user can act on. The command line shows each as one line on stderr and exits with its code.

Bad data that is part of a record is not an exception: it becomes a dead letter with an `ErrorType`.
"""

from enum import StrEnum


class TelcoStreamError(Exception):
    """Base of the errors; the message is one line without customer data that says what failed and what to do."""

    exit_code = 1


class UsageError(TelcoStreamError):
    """An option or setting is wrong."""

    exit_code = 2


class KafkaError(TelcoStreamError):
    """Kafka is unreachable, refuses a request or lacks a topic, or the client has failed fatally."""

    exit_code = 3


class ModelError(TelcoStreamError):
    """The model is invalid and was not loaded."""

    exit_code = 4


class DataError(TelcoStreamError):
    """The data failed a check: a file, a checkpoint, the number of dead letters, the ledger or a limit."""

    exit_code = 5


class FencedError(TelcoStreamError):
    """Another instance has taken over the transactional ID or group instance ID."""

    exit_code = 6


class ErrorType(StrEnum):
    """Kind of bad data, as dead letters, metrics and `dlq --error-type` name it."""

    EMPTY = "empty"
    ENCODING = "encoding"
    JSON = "json"
    VALIDATION = "validation"
    SCORING = "scoring"
    OUTPUT_TOO_LARGE = "output_too_large"
