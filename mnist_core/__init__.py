"""The trainer: small image models on MNIST-class data. It knows nothing of studies."""
