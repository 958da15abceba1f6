"""Rules of CustomResourceDefinitions: what a definition says of its kind, and whether its schemas can be served.

Reading order: structural, nodes, defaulted, fieldpaths, versions, definitions. Expressions of
x-kubernetes-validations are not compiled: nothing here evaluates CEL.
"""
