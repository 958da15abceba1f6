"""The API objects that pods refer to, and our own Node: caches that say when they change.

Owns the watches of config maps, secrets, Services and the Node, the tokens of service accounts, and the volumes behind
claims. Must never act on a pod. Reading order: `watched`, `tokens` and `claims` (the caches by pod), `cache`
(what volumes and environment ask).
"""
