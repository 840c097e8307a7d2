"""Parts of a process that do not depend on Kafka or the data: log, signals, files, time and formats."""
