"""Types of expressions, declarations of functions, and the checker."""
