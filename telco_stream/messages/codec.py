"""Everything that a contract is compiled to for the messages of a run."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from telco_stream.contract.events import Event, EventCodec
from telco_stream.contract.schema import Contract
from telco_stream.messages.prediction import Prediction, PredictionCodec


class Codec:
    """A contract, and the codecs of its events and predictions."""

    def __init__(self, contract: Contract) -> None:
        """Compile the contract."""
        self.contract = contract
        self.events = EventCodec(contract)
        self.predictions = PredictionCodec(contract)

    def build_predictions(  # noqa: PLR0913 - what predictions hold
        self,
        events: Sequence[Event],
        probabilities: Sequence[float],
        *,
        threshold: float,
        processed_at: str,
        model_version: str,
        optional: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> list[Prediction]:
        """Return a prediction for each event, even if its probability is not one; `processed_at` is RFC 3339.

        `optional` has the values of optional fields, one for each event.
        """
        positive, negative = self.contract.label.positive, self.contract.label.negative
        words = [positive if probability >= threshold else negative for probability in probabilities]
        keys, times = map(attrgetter("key"), events), map(attrgetter("event_ts"), events)
        same = repeat(processed_at), repeat(model_version)
        repeated = [self.events.values(name, events) for name in self.contract.repeated]
        made = self.predictions.type_with(tuple(optional))
        return list(map(made, keys, probabilities, words, times, *same, *repeated, *optional.values()))


@lru_cache(maxsize=8)
def compile_contract(contract: Contract) -> Codec:
    """Compile a contract."""
    return Codec(contract)
