"""The machine under a training: device, precision, memory, compilation."""
