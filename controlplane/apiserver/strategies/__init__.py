"""Strategies: what each kind does differently, as rows of one table.

Owns the per-kind rows of registry.Strategy and the pools they draw from. A module per group of kinds, whose ROWS
the table joins; defaults, validation and advice live in their own packages and are only referred to here.

Reading order: rows, table, then the group of interest.
"""
