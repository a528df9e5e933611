"""Heads: from an image encoder's width to the joint space."""
