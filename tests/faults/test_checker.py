"""The checker itself: it finds planted errors and tells them apart."""

from collections.abc import Callable

import pytest

from tests.faults.checker import Answer, Input, check_answers, not_sent_once
from tests.faults.numbered import numbered, numbered_csv
from tests.faults.progress import Silence

INPUTS = {f"raw/0/{number}": Input(f"{number:07d}", 0.5 if number % 10 else None) for number in range(100)}


def answers() -> list[Answer]:
    return [Answer(source, record.key, record.expected) for source, record in INPUTS.items()]


def test_check_answers_is_empty_when_each_input_is_answered_once() -> None:
    assert check_answers(INPUTS, answers()).describe_errors() == ""


@pytest.mark.parametrize(
    ("plant", "error"),
    [
        (lambda all_: all_[:17] + all_[18:], "1 missing: ['0000017 of raw/0/17']"),
        (lambda all_: [*all_, all_[17]], "1 duplicated: ['0000017 of raw/0/17']"),
        (lambda all_: [*all_, all_[20], all_[20]], "1 duplicated: ['0000020 of raw/0/20']"),
        (lambda all_: [*all_, Answer("raw/0/20", "0000020", 0.5)], "1 duplicated"),
        (lambda all_: [*all_, Answer("raw/0/100", "0000100", 0.5)], "1 unexplained: ['0000100 of raw/0/100']"),
        (lambda all_: [*all_, Answer("", "0000017", 0.5)], "1 unexplained"),
        (lambda all_: [*all_[1:], Answer("raw/0/0", "0000000", 0.5)], "1 wrong probability: ['0000000 of raw/0/0: 0.5"),
        (lambda all_: [*all_[:-1], Answer("raw/0/99", "0000099", None)], "None, not 0.5"),
        (lambda all_: [*all_[:-1], Answer("raw/0/99", "0000099", 0.50001)], "0.50001, not 0.5"),
        (lambda all_: [*all_[:-1], Answer("raw/0/99", "0000098", 0.5)], "1 missing: ['0000099 of raw/0/99']; 1 unexpl"),
        (lambda _: [], "100 missing"),
    ],
    ids=[
        "lost input",
        "duplicate prediction",
        "letter three times",
        "letter and prediction",
        "unknown source",
        "no source",
        "prediction of poison",
        "letter of a valid input",
        "wrong probability",
        "wrong key",
        "no answers",
    ],
)
def test_check_answers_reports_a_planted_error(plant: Callable[[list[Answer]], list[Answer]], error: str) -> None:
    assert error in check_answers(INPUTS, plant(answers())).describe_errors()


def test_check_answers_accepts_probabilities_within_tolerance() -> None:
    assert check_answers({"raw/0/1": Input("1", 0.5)}, [Answer("raw/0/1", "1", 0.5 + 5e-7)]).wrong == []


def test_not_sent_once_finds_missing_and_duplicated_customers() -> None:
    assert not_sent_once({"1": 1, "2": 2}, ["2", "1", "2"]) == []
    assert not_sent_once({"1": 1}, []) == ["1: 0 times"]
    assert not_sent_once({"1": 1}, ["1", "1"]) == ["1: 2 times"]
    assert not_sent_once({}, ["1"]) == ["1: 1 times"]


def test_silence_lasts_since_the_last_answer_when_an_input_waits() -> None:
    silence = Silence(now=0.0)
    assert silence.seconds(5.0, answers=0, inputs=1) == 5.0
    assert silence.seconds(6.0, answers=1, inputs=9) == 0.0
    assert silence.seconds(16.0, answers=1, inputs=9) == 10.0


def test_silence_is_0_when_no_input_waits() -> None:
    silence = Silence(now=0.0)
    assert silence.seconds(60.0, answers=0, inputs=0) == 0.0
    assert silence.seconds(61.0, answers=0, inputs=1) == 1.0


def test_numbered_is_deterministic_with_unique_ids() -> None:
    from random import Random  # noqa: PLC0415

    first, again = numbered(Random(7), 0.3), numbered(Random(7), 0.3)
    customers = [next(first) for _ in range(3_000)]
    assert customers == [next(again) for _ in range(3_000)]
    assert len({customer.key for customer in customers}) == 3_000
    assert 0.2 < sum(customer.expected is None for customer in customers) / 3_000 < 0.4
    text, expected = numbered_csv(3_000)
    assert text.count("\n") == 3_001
    assert len(expected) == 3_000
