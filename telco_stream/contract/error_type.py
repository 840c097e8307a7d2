"""The kinds of bad data."""

from enum import StrEnum


class ErrorType(StrEnum):
    """Kind of bad data, as dead letters, metrics and `dlq --error-type` name it."""

    EMPTY = "empty"
    ENCODING = "encoding"
    JSON = "json"
    VALIDATION = "validation"
    SCORING = "scoring"
    OUTPUT_TOO_LARGE = "output_too_large"
