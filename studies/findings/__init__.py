"""What a study found, worked out from its records: tables, intervals, doubts, importances."""
