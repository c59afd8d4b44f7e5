"""Where new trials come from, which of them are stopped early, and when a search ends."""
