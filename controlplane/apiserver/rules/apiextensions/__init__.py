"""Rules of CustomResourceDefinitions: what a definition says of its kind, and whether its schemas can be served.

Reading order: structural, nodes, defaulted, expressed, internal, versions, approval, definitions. What a schema makes
of an object is `structural`'s (the room beside this one), which judges defaults here, too.
"""
