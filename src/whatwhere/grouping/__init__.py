"""Grouping: which patches of a picture belong together, said by their vectors and by no words.

A file `grouping/my_way.py` is the grouping `my_way` when it defines one frozen dataclass with
`num_groups`, which is called with the patch vectors of one picture and gives the group of each,
0 to num_groups - 1. What it gives depends on the vectors alone: neither on chance nor on their
order, ties apart.
"""
