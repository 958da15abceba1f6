"""Garbage collection: objects go when the last of their owners has gone.

Owns: deletions that follow from metadata.ownerReferences, and the finalizers `foregroundDeletion` and
`orphan`.
Must never: delete on the word of its own memory. The graph only says where to look; every deletion is decided
on the object and its owners as the API server has them then.
Reading order: graph (who owns whom), judge (what becomes of one object), controller.
"""
