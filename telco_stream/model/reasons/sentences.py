"""`reasons.json`: a sentence for each feature and direction, which the owners of a model are meant to edit."""

from collections.abc import Mapping

import msgspec

from telco_stream.contract.schema import Contract
from telco_stream.errors import ModelError


class Sentences(msgspec.Struct, frozen=True):
    """What a feature says that raises the probability, and one that lowers it."""

    raises: str
    lowers: str

    def about(self, contribution: float) -> str:
        """Return the sentence for a contribution."""
        return self.raises if contribution >= 0 else self.lowers


def sentence_about(sentences: Mapping[str, Sentences], feature: str, contribution: float) -> str:
    """Return the sentence about a contribution of a feature; empty if there is none about the feature."""
    known = sentences.get(feature)
    return known.about(contribution) if known else ""


_decode = msgspec.json.Decoder(dict[str, Sentences]).decode


def default_sentences(contract: Contract) -> dict[str, Sentences]:
    """Return plain sentences for the features of a contract. They say what the model computes, not what is a cause."""
    return {
        feature.name: Sentences(f"{feature.name} raises the probability.", f"{feature.name} lowers the probability.")
        for feature in contract.features
    }


def read_sentences(content: bytes | None, contract: Contract) -> dict[str, Sentences]:
    """Return the sentences of `reasons.json`, and plain ones for features that it lacks.

    Raise ModelError if it is not such a file.
    """
    if content is None:
        return default_sentences(contract)
    try:
        return default_sentences(contract) | _decode(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"reasons.json has another form ({error}): correct it, or delete it") from error


def write_sentences(contract: Contract, edited: bytes | None = None) -> bytes:
    """Return the content of `reasons.json`; it keeps those `edited` sentences that can be read."""
    try:
        sentences: Mapping[str, Sentences] = read_sentences(edited, contract)
    except ModelError:
        sentences = default_sentences(contract)
    kept = {feature.name: sentences[feature.name] for feature in contract.features}
    return msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"
