"""The kinds of bad data, as a dead letter names them."""

from typing import Literal, TypeAlias

ErrorType: TypeAlias = Literal["empty", "encoding", "json", "validation", "scoring", "output_too_large"]
