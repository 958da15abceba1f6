"""Subresources that are more than a generic update: binding, eviction, scale, tokens, approval.

Owns what each does to its object. Every change goes through the registry, so that admission, validation and
optimistic concurrency hold here too; nothing in this package talks to a kubelet (that is `streams`).

Reading order: `body` (reading the request), then one module per subresource.
"""
