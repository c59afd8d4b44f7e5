"""Finding a learning rate and a batch size before training."""
