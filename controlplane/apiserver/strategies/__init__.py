"""Strategies: what each kind does differently, as rows of one table.

Owns the per-kind rows of registry.Strategy and the pools they draw from. A module per group of kinds;
defaults and validation live in their own packages and are only referred to here.

Reading order: table, then the kind of interest.
"""
