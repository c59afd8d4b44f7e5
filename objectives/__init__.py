"""Objectives: hyperparameters in, a finished training out. They know the trainer, not the study."""
