"""The rate over the last seconds, as in the live view and the metrics."""

from telco_stream.runtime.clock import RateMeter


def test_rate_is_of_the_last_seconds_when_it_changes() -> None:
    meter = RateMeter(0.0, 4.0)
    rates = []
    for second in range(1, 11):
        meter.update(float(second), 100 * second if second <= 5 else 500 + 10 * (second - 5))
        rates.append(meter.rate(float(second)))
    assert rates[:5] == [100.0] * 5
    assert rates[-1] == 10


def test_rate_falls_to_zero_when_the_count_stops_growing() -> None:
    meter = RateMeter(0.0, 4.0)
    meter.update(1.0, 100)
    assert [meter.rate(now) for now in (1.0, 2.0, 4.0, 5.0, 99.0)] == [100.0, 50.0, 25.0, 0.0, 0.0]


def test_rate_is_zero_when_no_time_has_passed() -> None:
    assert RateMeter(0.0, 4.0).rate(0.0) == 0.0


def test_rate_meter_forgets_samples_outside_the_window() -> None:
    meter = RateMeter(0.0, 4.0)
    for tenth in range(1_000):
        meter.update(tenth / 10, tenth)
    assert len(meter._samples) <= 42
