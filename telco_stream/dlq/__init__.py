"""`dlq list`, `dlq show` and `dlq replay`: inspect dead letters and send them back."""
