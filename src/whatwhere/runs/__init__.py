"""Runs: recipes joined with pictures, captions, checkpoints and benchmarks."""
