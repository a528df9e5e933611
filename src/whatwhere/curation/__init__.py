"""Concepts that similar pictures' captions mention and this picture's own leave out (CoCu)."""
