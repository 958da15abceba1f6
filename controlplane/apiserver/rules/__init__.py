"""Rules: upstream's field errors (paths, reasons, texts, order) for what a schema cannot say.

Owns a table of rows over the types of the published definitions: what must hold of a struct of that type, and of a
change of one, in upstream's order. Pure: rules never change an object, look at another one or at the clock.

Reading order: `place` (where the walker stands), `words` (what rows are written in), `compiled` (the walker), any
table (`core/containers`), `shown` (values in messages), `metadata` (every kind). README.md says how to write a row.
"""
