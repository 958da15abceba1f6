"""Validation: upstream's field errors (paths, reasons, texts, order) for what a schema cannot say.

Pure functions from objects to FieldErrors; they never change an object and never look at another one.

Reading order: metadata (every kind), then a module per group of kinds.
"""
