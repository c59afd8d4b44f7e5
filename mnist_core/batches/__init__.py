"""Batches of images and pairs, made on the device."""
