"""From settings to a plan, which is all that is decided before the first trial, and its check."""
