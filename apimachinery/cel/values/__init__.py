"""Values of expressions: Python's own where there is one, and what Python has no word for."""
