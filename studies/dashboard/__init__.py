"""What Optuna's dashboard shows of a study beyond what Optuna keeps."""
