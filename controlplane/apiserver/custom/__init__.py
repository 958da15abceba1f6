"""CustomResourceDefinitions at work: what they define is served as if it were built in, while they are there.

Owns the way from definitions to rows of the catalog, the conditions and names in their status, conversion between
versions, and the end of a definition's objects. What a schema says of an object is `structural`'s; how objects are
written, read and watched is nothing special: the registry asks a row for its `Custom` where versions differ.

Reading order: naming and approval (pure), columns, version (one version), rows (a definition as rows),
webhook and conversion (between versions), definitions (following them), statuses and removal (the loops).
"""
