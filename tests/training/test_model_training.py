import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError, UsageError
from telco_stream.model.artifact import load_scorer, read_contract, read_manifest, write_folder
from telco_stream.model.pipelines import linear
from telco_stream.model.results import OldAndNew, TrainingResult
from telco_stream.model.training import train
from tests.support.cli import ROOT
from tests.support.telco import CATEGORIES, CONTRACT, NUMBERS
from tests.support.training_data import Row, customers_of, labelled_rows, write_csv

pytestmark = pytest.mark.slow

NOW = "2026-01-02T03:04:05Z"
ROWS = labelled_rows(400)
STEPS = ["reading", "trying the linear model", "trying the boosted model", "fitting", "compiling", "cross-validating"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("data") / "labelled.csv", ROWS)


@pytest.fixture(scope="module")
def trained(source: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return train(source, tmp_path_factory.mktemp("models") / "new/model", created_at=NOW)


def small(tmp_path: Path, rows: list[Row]) -> Path:
    return write_csv(tmp_path / "small.csv", rows)


def test_train_writes_files_for_both_engines(trained: TrainingResult) -> None:
    hashed = {"baseline.json", "contract.json", "golden.json", "pipeline.joblib", "pipeline.onnx", "reasons.onnx"}
    files = {"manifest.json", "reasons.json"} | hashed
    assert {path.name for path in trained.path.iterdir()} == files
    customers = customers_of(ROWS)
    first, second = (load_scorer(trained.path, engine).score(customers) for engine in ("sklearn", "onnx"))
    assert first == pytest.approx(second, abs=1e-6)


def test_train_leaves_no_temporary_files(trained: TrainingResult) -> None:
    assert list(trained.path.parent.iterdir()) == [trained.path]


def test_train_reads_the_same_files_as_produce(trained: TrainingResult, source: Path, tmp_path: Path) -> None:
    """Semicolons, no key, times that are not RFC 3339, blank rows at the end."""
    header, *lines = source.read_text().replace(",", ";").splitlines()
    table = [f"{header.replace('customerID', 'id')};event_ts", *(f"{line};31.1.2026" for line in lines), ";" * 21, ";"]
    path = tmp_path / "labelled.csv"
    path.write_text("\n".join(table))
    result = train(path, tmp_path / "model", CsvFormat(CONTRACT, ";", number_rows=True), created_at=NOW)
    assert (result.rows, result.metrics) == (trained.rows, trained.metrics)


def test_manifest_describes_the_training_data_and_files(trained: TrainingResult, source: Path) -> None:
    manifest = read_manifest(trained.path)
    data = manifest.training_data
    assert (data.sha256, data.rows) == (hashlib.sha256(source.read_bytes()).hexdigest(), 400)
    assert data.churners == sum(row["Churn"] == "Yes" for row in ROWS)
    assert (manifest.created_at, read_contract(trained.path)) == (NOW, CONTRACT)
    assert set(manifest.artifacts) == {
        "baseline.json",
        "contract.json",
        "golden.json",
        "pipeline.joblib",
        "pipeline.onnx",
        "reasons.onnx",
    }
    assert {"python", "scikit-learn", "numpy", "skl2onnx", "onnxruntime"} <= set(manifest.libraries)
    assert manifest.onnx.rows == 400 + 10_000
    for name, sha256 in manifest.artifacts.items():
        assert hashlib.sha256((trained.path / name).read_bytes()).hexdigest() == sha256


def test_training_result_equals_the_manifest(trained: TrainingResult) -> None:
    manifest = read_manifest(trained.path)
    assert (trained.version, trained.threshold) == (manifest.model_version, manifest.threshold)
    assert (trained.metrics, trained.onnx, trained.rows) == (manifest.metrics, manifest.onnx, 400)
    assert trained.version.startswith("2026-01-02-")
    assert trained.seconds > 0


def test_calibration_covers_all_predictions_in_order(trained: TrainingResult) -> None:
    calibration = trained.metrics.calibration
    means = [decile.mean_probability for decile in calibration]
    assert (len(calibration), means) == (10, sorted(means))
    assert sum(decile.predictions for decile in calibration) == 5 * 400  # five repeats predict each row once


def test_metrics_are_computed_on_held_out_rows(tmp_path: Path) -> None:
    """Random labels can be fitted, but not predicted."""
    random = Random(0)
    rows = [row | {"Churn": random.choice(["Yes", "No"])} for row in labelled_rows(150)]
    result = train(small(tmp_path, rows), tmp_path / "model", created_at=NOW, build=linear)
    assert result.metrics.roc_auc < 0.6
    pipeline = load_scorer(result.path, "sklearn").score(customers_of(rows))
    churned = [probability for probability, row in zip(pipeline, rows, strict=True) if row["Churn"] == "Yes"]
    assert sum(churned) / len(churned) > sum(pipeline) / len(pipeline) + 0.1


def test_train_is_reproducible_when_data_and_seed_are_equal(
    trained: TrainingResult, source: Path, tmp_path: Path
) -> None:
    again = train(source, tmp_path / "model", created_at=NOW)
    assert again.version == trained.version
    for path in trained.path.iterdir():
        assert (tmp_path / "model" / path.name).read_bytes() == path.read_bytes(), path.name


def test_convert_is_independent_of_the_hash_seed(trained: TrainingResult) -> None:
    program = "import hashlib, joblib, sys; from telco_stream.model.conversion import convert; "
    program += "from tests.support.telco import CODEC; "
    program += "print(hashlib.sha256(convert(joblib.load(sys.argv[1]), CODEC)).hexdigest())"
    command = [sys.executable, "-c", program, str(trained.path / "pipeline.joblib")]
    digests = {
        subprocess.run(
            command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert digests == {read_manifest(trained.path).artifacts["pipeline.onnx"]}


def test_train_splits_differently_when_the_seed_differs(trained: TrainingResult, source: Path, tmp_path: Path) -> None:
    other = train(source, tmp_path / "model", created_at=NOW, seed=100, build=linear)
    assert other.metrics.roc_auc != trained.metrics.roc_auc
    assert read_manifest(other.path).training_data.seed == 100


def test_train_reports_each_stage_and_fold(source: Path, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    train(source, tmp_path / "model", created_at=NOW, progress=lambda *step: reports.append(step))
    assert list(dict.fromkeys(name for name, _, _ in reports)) == STEPS
    assert [step for step in reports if step[0] == "reading"] == [("reading", 0, 400), ("reading", 400, 400)]
    for stage, folds in (("trying the linear model", 5), ("cross-validating", 20)):
        assert [step for step in reports if step[0] == stage] == [(stage, fold, folds) for fold in range(folds + 1)]


def _tree(name: str, categories: list[list[str]] | None = None) -> Pipeline:
    encoder = OneHotEncoder(categories=categories or [list(values) for values in CATEGORIES.values()])
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(), list(NUMBERS)), ("categories", encoder, list(CATEGORIES))]
    )
    return Pipeline([(name, columns), ("classifier", DecisionTreeClassifier(max_depth=3, random_state=0))])


def test_train_accepts_another_pipeline(trained: TrainingResult, source: Path, tmp_path: Path) -> None:
    other = train(source, tmp_path / "model", created_at=NOW, build=lambda _: _tree("columns"))
    assert [candidate.name for candidate in other.candidates] == ["own"]
    assert other.metrics.roc_auc != trained.metrics.roc_auc
    first, second = (load_scorer(other.path, engine) for engine in ("sklearn", "onnx"))
    assert first.score(customers_of(ROWS)) == pytest.approx(second.score(customers_of(ROWS)), abs=1e-6)
    assert len(set(first.score(customers_of(ROWS)))) <= 8, "a tree of three levels has eight leaves"


def test_train_writes_onnx_when_steps_have_other_names(source: Path, tmp_path: Path) -> None:
    other = train(source, tmp_path / "model", created_at=NOW, build=lambda _: _tree("other"))
    assert other.onnx.refused is None


def test_train_writes_onnx_when_category_order_differs(source: Path, tmp_path: Path) -> None:
    """An encoder that sorts the categories has them in another order than the contract, whose codes are used."""
    categories = [sorted(values) for values in CATEGORIES.values()]
    other = train(source, tmp_path / "model", created_at=NOW, build=lambda _: _tree("columns", categories))
    assert other.onnx.refused is None


@pytest.mark.parametrize(
    ("column", "value", "user_error"),
    [
        ("Churn", "", "line 4: Churn is neither Yes nor No"),
        ("Churn", "yes", "line 4: Churn is neither Yes nor No"),
        ("Contract", "Ten years", r"line 4: .*\$\.Contract"),
        ("tenure", "1001", r"line 4: .*\$\.tenure"),
        ("tenure", "1.5", r"line 4: .*\$\.tenure"),
        ("MonthlyCharges", "much", "line 4: MonthlyCharges is not a number"),
        ("customerID", "", "line 4: no customerID"),
    ],
)
def test_train_names_the_line_when_a_row_is_invalid(tmp_path: Path, column: str, value: str, user_error: str) -> None:
    rows = labelled_rows(20)
    rows[2][column] = value
    with pytest.raises(DataError, match=user_error) as caught:
        train(small(tmp_path, rows), tmp_path / "model", created_at=NOW)
    assert not value or value not in str(caught.value).replace("neither Yes", "")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("label", ["Yes", "No"])
def test_train_fails_when_all_customers_have_one_label(tmp_path: Path, label: str) -> None:
    rows = [row | {"Churn": label} for row in labelled_rows(20)]
    with pytest.raises(DataError, match="rows with Churn Yes among 20: at least 5 of each label"):
        train(small(tmp_path, rows), tmp_path / "model", created_at=NOW)


def test_train_fails_when_the_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Cannot read"):
        train(tmp_path / "none.csv", tmp_path / "model", created_at=NOW)


def test_train_replaces_an_unreadable_model_when_asked(trained: TrainingResult, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    write_folder(out, {"manifest.json": b"old", "pipeline.onnx": b"old"}, replace_model=True)
    result = train(source, out, created_at=NOW, replace_model=True)
    assert json.loads((out / "manifest.json").read_bytes())["model_version"] == trained.version
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert result.replaced is None


def test_train_keeps_a_model_unless_asked_to_replace_it(trained: TrainingResult, source: Path) -> None:
    before = {path.name: path.read_bytes() for path in trained.path.iterdir()}
    with pytest.raises(UsageError, match=f"already holds model {trained.version}: --out .* --replace"):
        train(source, trained.path, created_at=NOW, progress=fail_when_called)
    assert {path.name: path.read_bytes() for path in trained.path.iterdir()} == before


def test_train_compares_with_the_model_that_it_replaces(source: Path, tmp_path: Path) -> None:
    first = train(source, tmp_path / "model", created_at=NOW, build=lambda _: _tree("columns"))
    second = train(source, tmp_path / "model", created_at=NOW, replace_model=True)
    assert second.replaced is not None
    assert (second.replaced.version, second.replaced.same_data) == (first.version, True)
    assert second.replaced.metrics["log_loss"] == OldAndNew(first.metrics.log_loss, second.metrics.log_loss)
    assert second.replaced.metrics["threshold"] == OldAndNew(first.threshold, second.threshold)


def test_train_notes_that_the_replaced_model_had_other_data(trained: TrainingResult, tmp_path: Path) -> None:
    shutil.copytree(trained.path, tmp_path / "model")
    other = small(tmp_path, labelled_rows(100, seed=1))
    result = train(other, tmp_path / "model", created_at=NOW, replace_model=True, build=linear)
    assert result.replaced is not None
    assert not result.replaced.same_data


def fail_when_called(*_: object) -> None:
    """Report progress; the checks must come before the first stage."""
    pytest.fail("training has started")


def test_train_keeps_a_folder_when_it_holds_other_files(source: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        train(source, tmp_path, created_at=NOW, progress=fail_when_called)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_train_keeps_the_target_when_it_is_a_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    with pytest.raises(UsageError, match="is not a folder"):
        train(source, tmp_path / "model", created_at=NOW)
    assert (tmp_path / "model").read_text() == "a file"


def test_write_folder_keeps_the_old_model_when_it_fails(tmp_path: Path) -> None:
    """A file name in a missing folder simulates a full disk."""
    out = tmp_path / "model"
    write_folder(out, {"manifest.json": b"old"}, replace_model=True)
    with pytest.raises(UsageError, match="Cannot write the model"):
        write_folder(out, {"manifest.json": b"new", "no/such/place": b"new"}, replace_model=True)
    assert (out / "manifest.json").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_write_folder_keeps_a_symbolic_link(tmp_path: Path) -> None:
    target, link = tmp_path / "v1", tmp_path / "current"
    write_folder(target, {"manifest.json": b"old"}, replace_model=True)
    link.symlink_to(target)
    write_folder(link, {"manifest.json": b"new"}, replace_model=True)
    assert link.is_symlink()
    assert (target / "manifest.json").read_bytes() == b"new"
