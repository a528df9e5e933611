"""Recipes: everything that decides what a run learns, as plain values."""
