"""The built-in kinds: a row each, in the module of its group.

A new kind is one Resource here (see catalog/ for what it says). Nothing else in the server lists kinds. Reading order:
any group (apps is a plain one), then builtin, which puts them in order.
"""
