"""A simple script: micro-batches with json, pandas and `predict_proba`, at least once.

It validates nothing: a bad record ends the script.
"""

import json
from datetime import UTC, datetime
from typing import Any

import joblib
import pandas as pd

from benchmarks.loops.common import Clock, Job, next_offsets, read_job

THRESHOLD = 0.5


def score(job: Job) -> Clock:
    """Score `count` records in batches."""
    model, clock = joblib.load(job.model / "pipeline.joblib"), Clock()
    consumer, producer = job.consumer(), job.producer()
    while clock.records < job.count:
        messages = job.take(consumer, job.count - clock.records)
        if not messages:
            continue
        clock.took()
        for key, value in answers(model, messages):
            producer.produce(job.out, value, key)
        producer.flush()
        consumer.commit(offsets=next_offsets(messages), asynchronous=False)
        clock.done(len(messages))
    consumer.close()
    return clock


def answers(model: Any, messages: list[Any]) -> list[tuple[str, str]]:
    """Return key and value of each prediction."""
    customers = pd.DataFrame([json.loads(message.value()) for message in messages])
    customers["TotalCharges"] = pd.to_numeric(customers["TotalCharges"], errors="coerce").astype(float).fillna(0)
    probabilities = model.predict_proba(customers)[:, 1]
    now = datetime.now(UTC).isoformat()
    return [
        (str(row.customerID), json.dumps(_answer(row, float(probability), now)))
        for row, probability in zip(customers.itertuples(), probabilities, strict=True)
    ]


def _answer(row: Any, probability: float, now: str) -> dict[str, object]:
    return {
        "customerID": row.customerID,
        "churn_probability": probability,
        "prediction": "Yes" if probability >= THRESHOLD else "No",
        "event_ts": row.event_ts,
        "processed_ts": now,
        "model_version": "naive",
        "Contract": row.Contract,
        "InternetService": row.InternetService,
    }


if __name__ == "__main__":
    score(read_job()).print_result()
