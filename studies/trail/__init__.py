"""What a study says while it runs: its events, their log, and who listens."""
