"""The kinds that the API server serves: a row each, and the catalog of them.

Owns what differs from kind to kind: a Resource says a kind's names, scope, verbs and subresources (its Kind), how its
objects live (its Strategy), how a list of them looks (its columns) and what lists may select on. A new kind is one
Resource in the module of its group. Nothing else in the server lists kinds: the catalog is handed to whoever has to
know them all, and rows come and go while the server runs.

Reading order: strategy, resource, catalog, then the module of any group (apps is a plain one), builtin.
"""
