"""Training: the loop. It knows batches, models and objectives, and no method by name."""
