"""The libraries that only training and the uncompiled model need: an installation may leave them out."""

from collections.abc import Iterator
from contextlib import contextmanager

from telco_stream.errors import TelcoStreamError

_MAY_BE_LEFT_OUT = frozenset({"joblib", "pandas", "sklearn", "skl2onnx"})


@contextmanager
def requiring_libraries(doing: str, kind: type[TelcoStreamError], instead: str) -> Iterator[None]:
    """Imports in the block raise `kind` where one of these libraries isn't installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _MAY_BE_LEFT_OUT:
            raise
        here = "isn't installed here, as in the image telco-stream:consume"
        raise kind(f"{doing} needs {name}, which {here}: {instead}") from error
