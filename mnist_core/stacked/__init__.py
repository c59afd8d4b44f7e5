"""Several trainings of one architecture whose steps are computed together."""
