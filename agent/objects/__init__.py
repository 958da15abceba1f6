"""The API objects that pods refer to, and our own Node: caches that say when they change.

Owns the watches of config maps, secrets, Services and the Node, and the tokens of service accounts. Must never act on a
pod. Reading order: ``watched`` and ``tokens`` (the two caches by pod), ``cache`` (what volumes and environment ask).
"""
