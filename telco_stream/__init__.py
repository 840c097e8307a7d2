"""Scores customer events in Kafka with a model, exactly once, every bad record accounted for."""

__version__ = "0.1.0"
