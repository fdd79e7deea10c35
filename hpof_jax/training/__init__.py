"""Losses, metrics, state, steps and checkpoints of training."""
