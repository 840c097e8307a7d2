"""Mechanisms of a running process that know nothing of Kafka or of customers."""
