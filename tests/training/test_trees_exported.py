"""Trees of each library, exported to ONNX, against the predictions of the library itself."""

import pytest

from telco_stream.model.compilation import compare
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.probes import edge_events, split_events
from telco_stream.model.trees.ensemble import split_values
from telco_stream.model.trees.to_onnx import write_onnx
from tests.support.foreign_data import needs_foreign_data, needs_telco_data
from tests.support.tree_models import MODELS, SINGLE, Data, FunctionScorer, load_data

pytestmark = [pytest.mark.slow, needs_foreign_data, needs_telco_data]


@pytest.fixture(scope="module", params=["telco", "credit_data"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[True, False], ids=["nulls", "complete"])
def data(name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_data(name, tmp_path_factory.mktemp(name), nulls=request.param)


@pytest.mark.parametrize("model", MODELS)
def test_exported_trees_are_equal_on_all_rows_edges_and_splits(model: str, data: Data) -> None:
    contract = data.codec.contract
    fitted = MODELS[model](data)
    ensemble = fitted.read()
    exported = load_onnx(write_onnx(ensemble, contract), data.codec, version="", threshold=0.5)
    splits = split_values(ensemble, contract)
    assert splits
    events = [
        *data.events,
        *edge_events(data.codec, data.events, seed=0),
        *split_events(data.codec, data.events, splits, seed=0),
    ]
    result = compare(FunctionScorer(fitted.predict, data.codec), exported, events, len(data.events))
    assert result.max_difference is not None
    assert result.max_difference < (1e-6 if model.startswith(SINGLE) else 1e-12)
