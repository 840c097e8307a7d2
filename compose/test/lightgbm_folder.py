# ruff: noqa: INP001 - a single script, run in an image
"""Write a model folder that LightGBM itself serves, to the path given; `compose/test/image` runs it in the image."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import lightgbm
import numpy as np

from telco_stream.runtime.files import bundled

folder = Path(sys.argv[1])
shutil.copytree(bundled("models/churn"), folder)
rows = np.random.default_rng(0).uniform(0, 70, (500, 2))
data = lightgbm.Dataset(rows, rows[:, 0] < rows[:, 1], feature_name=["tenure", "MonthlyCharges"])
booster = lightgbm.train({"objective": "binary", "verbose": -1}, data, num_boost_round=5)
(folder / "pipeline.txt").write_text(booster.model_to_string())
manifest = json.loads((folder / "manifest.json").read_text())
manifest["model_version"] = "lightgbm"
manifest["serving"] = {"engine": "lightgbm", "artifact": "pipeline.txt"}
manifest["artifacts"] = {
    name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("contract.json", "pipeline.txt")
}
(folder / "manifest.json").write_text(json.dumps(manifest))
