"""Files of a model folder that hold what the reasons of its model need, and their loading."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from telco_stream.messages.codec import Codec
from telco_stream.runtime.choices import Baseline

if TYPE_CHECKING:
    from telco_stream.model.reasons.explainer import Explainer

#: File with the reasons of a linear model, and that of trees.
GRAPH, LEAVES = "reasons.onnx", "reasons.npz"
#: File with the approximate reasons of trees.
APPROXIMATE = "reasons-approximate.npz"
#: File with a sentence for each feature and direction. It can be edited, so the manifest has no checksum of it.
SENTENCES = "reasons.json"


def load_reasons(
    files: Mapping[str, bytes], codec: Codec, baseline: Baseline, *, approximate: bool = False
) -> "Explainer | None":
    """Return the exact or the approximate reasons of a model from its checked files, or None if it has none.

    Raise ModelError if they cannot be loaded.
    """
    if approximate:
        if APPROXIMATE not in files:
            return None
        from telco_stream.model.reasons.approximate import load_approximate  # noqa: PLC0415 - few models need it

        return load_approximate(files[APPROXIMATE], codec, baseline)
    if LEAVES in files:
        from telco_stream.model.reasons.leaves import load_leaves  # noqa: PLC0415 - only trees need it

        return load_leaves(files[LEAVES], codec, baseline)
    if GRAPH in files:
        from telco_stream.model.reasons.graph import load_graph  # noqa: PLC0415 - only linear models need it

        return load_graph(files[GRAPH], codec, baseline)
    return None
