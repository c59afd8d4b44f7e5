"""From settings to a plan: everything that is decided before the first trial."""
