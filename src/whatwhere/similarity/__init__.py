"""Similarities: how pictures and texts are compared, in training and per pixel."""
