"""Concepts: names, prompts, noun phrases, and the bank of names that captions mention."""
