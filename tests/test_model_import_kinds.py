"""Kinds of model files, which are recognized by their content."""

import gzip
import pickle
import zlib

import pytest

from telco_stream.errors import ModelError
from telco_stream.model.imports import kinds
from telco_stream.model.imports.kinds import Kind, kind_of
from tests.support.model_folder import COMMITTED

PICKLED = pickle.dumps({"a": 1})


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ((COMMITTED / "pipeline.joblib").read_bytes(), kinds.PICKLE),
        (PICKLED, kinds.PICKLE),
        (zlib.compress(PICKLED), kinds.PICKLE),
        (gzip.compress(PICKLED, mtime=0), kinds.PICKLE),
        ((COMMITTED / "pipeline.onnx").read_bytes(), kinds.ONNX_FILE),
        (b"tree\nversion=v4\n", kinds.LIGHTGBM),
        (b'{"learner":{"attributes":{}', kinds.XGBOOST_JSON),
        (b'{\n  "learner" : {', kinds.XGBOOST_JSON),
        (b"{L\0\0\0\0\0\0\0\x07learner{L", kinds.XGBOOST_BINARY),
        (b"CBM1\0\x22\0\0", kinds.CATBOOST),
        (b"PK\x03\x04\x14\0...schema.json", kinds.SKOPS),
    ],
)
def test_kind_of_recognizes_the_content_when_the_name_lies(content: bytes, kind: Kind) -> None:
    assert kind_of(content, "model.txt") is kind


@pytest.mark.parametrize("content", [b"", b"customerID,tenure\n", b"{}", b"PK\x03\x04\x14\0word/document.xml", b"\0\1"])
def test_kind_of_refuses_other_content(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"model\.ubj is not a model file of scikit-learn"):
        kind_of(content, "model.ubj")


@pytest.mark.parametrize("kind", [kind for kind in vars(kinds).values() if isinstance(kind, Kind)])
def test_only_a_pickle_is_code(kind: Kind) -> None:
    assert kind.is_code == (kind is kinds.PICKLE)
