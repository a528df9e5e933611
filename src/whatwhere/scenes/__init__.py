"""Scenes: a procedural world of textured things on textured grounds, with exact masks."""
