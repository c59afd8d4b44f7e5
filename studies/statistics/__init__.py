"""Statistics of a few seeds and many choices: intervals, comparisons, verdicts, power."""
