"""Everything that a contract is compiled to for the messages of a run."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from operator import attrgetter

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

    def build_predictions(
        self,
        events: Sequence[Event],
        probabilities: Sequence[float],
        *,
        threshold: float,
        processed_at: str,
        model_version: str,
    ) -> list[Prediction]:
        """Return a prediction for each event, even if its probability is not one; `processed_at` is RFC 3339."""
        positive, negative = self.contract.label.positive, self.contract.label.negative
        words = [positive if probability >= threshold else negative for probability in probabilities]
        keys, times = map(attrgetter("key"), events), map(attrgetter("event_ts"), events)
        same = repeat(processed_at), repeat(model_version)
        repeated = [self.events.values(name, events) for name in self.contract.repeated]
        return list(map(self.predictions.type, keys, probabilities, words, times, *same, *repeated))


@lru_cache(maxsize=8)
def compile_contract(contract: Contract) -> Codec:
    """Compile a contract."""
    return Codec(contract)
