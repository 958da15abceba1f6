"""ReplicationController: a ReplicaSet of before, with a selector of labels alone.

Owns: pods with a ReplicationController as controller, its status.
Must never: decide anything that a ReplicaSet would decide otherwise.
"""
