"""Encoders: pixels to patch vectors, token ids to word vectors. One file per family."""
