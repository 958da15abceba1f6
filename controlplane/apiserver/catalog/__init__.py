"""What a kind is to the server, and the kinds that it serves at the moment.

Owns the types of a row: a Resource says a kind's names, scope, verbs and subresources (its Kind), how its objects live
(its Strategy), how a list of them looks (its columns) and what lists may select on; and the Catalog of rows, which is
handed to whoever has to know every kind. Names no kind: the built-in rows are in resources/.

Reading order: strategy, resource, catalog, names.
"""
