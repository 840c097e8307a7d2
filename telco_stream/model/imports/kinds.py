"""Kinds of model files, recognized by their content, since a file name can be wrong."""

from dataclasses import dataclass

from telco_stream.errors import ModelError

#: First bytes of the formats in which pickles are written: plain, and compressed by joblib.
_PICKLES = (b"\x80", b"\x78", b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18")
#: Part of an XGBoost document, JSON or binary, that contains its first key.
_START = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of a model file, the file's name in a model folder, and the package that installs what reads it."""

    name: str
    artifact: str
    package: str
    #: Whether loading the file can run any code in it.
    is_code: bool = False


PICKLE = Kind("scikit-learn", "pipeline.joblib", "scikit-learn", is_code=True)
SKOPS = Kind("skops", "pipeline.skops", "skops")
ONNX_FILE = Kind("ONNX", "pipeline.onnx", "onnxruntime")
XGBOOST_JSON = Kind("XGBoost", "pipeline.json", "xgboost-cpu")
XGBOOST_BINARY = Kind("XGBoost", "pipeline.ubj", "xgboost-cpu")
LIGHTGBM = Kind("LightGBM", "pipeline.txt", "lightgbm")
CATBOOST = Kind("CatBoost", "pipeline.cbm", "catboost")


def kind_of(content: bytes, name: str) -> Kind:
    """Return the kind of a model file; raise ModelError, which names the file, if it is none of them."""
    start = content[:_START]
    if start.startswith(b"CBM1"):
        return CATBOOST
    if start.startswith((b"tree\n", b"tree\r\n")):
        return LIGHTGBM
    if b"learner" in start and start.lstrip().startswith(b"{"):
        return XGBOOST_JSON if start.partition(b"learner")[0].rstrip().endswith(b'"') else XGBOOST_BINARY
    if start.startswith(b"PK\x03\x04") and b"schema.json" in content:
        return SKOPS
    if start.startswith(b"\x08"):  # the first field of the format, a version
        return ONNX_FILE
    if start.startswith(_PICKLES):
        return PICKLE
    raise ModelError(
        f"{name} is not a model file of scikit-learn (joblib or skops), XGBoost (.ubj, .json), LightGBM (.txt), "
        "CatBoost (.cbm) or ONNX: save the fitted model with the function of its library"
    )
