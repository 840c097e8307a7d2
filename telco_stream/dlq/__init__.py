"""The dead letters, and the way back: `dlq list`, `dlq show`, `dlq replay`."""
