"""ReplicaSet: as many pods of one template as asked for.

Owns: pods with a ReplicaSet as controller, the ReplicaSet's status.
Must never: act on its pods while a creation or deletion of its own is not yet in the cache.
Reading order: plan, controller.
"""
