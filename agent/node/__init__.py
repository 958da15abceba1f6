"""The agent's view of its own Node and of the API objects its pods use.

Owns the Node object's registration, status and lease, and the cache of config maps, secrets, Services and
tokens. Must never start, stop or judge a pod. Reading order: facts (what the machine is), setters (facts to
Node status, pure), registration (what a new or known Node gets, pure), registrar (the loops), watched and
tokens (the two caches), objects (what volumes and environment ask).
"""
