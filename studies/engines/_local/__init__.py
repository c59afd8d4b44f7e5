"""Parts of the local engine."""
