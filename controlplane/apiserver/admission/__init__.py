"""Admission: what every write passes between authorization and the store, in upstream's order.

Owns what looks beyond one object: whether its namespace lives, its defaults of the namespace, who may write such a
thing, pod security, webhooks, quotas. A plugin gets an Admission and may change its object in the mutating phase; it
raises an ApiError to refuse. Must never write into the store itself (a quota's usage excepted).

Reading order: plugin, chain (the order), then a module or a folder each plugin.
"""
