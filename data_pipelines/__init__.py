"""Training data: motion sources, simulated observations, and the stream that feeds the training step."""
