"""Persistent volumes and their claims: bound, let go, made for pods; and what becomes of a claim that grows.

Owns: `spec.claimRef` and phase of volumes, `spec.volumeName`, phase, capacity and access modes of claims, the
claims of ephemeral volumes.
Must never: bind two claims to one volume, or take a volume's data for lost while its claim may still be there.
Reading order: plan (a claim), release (a volume), binder (the loop), ephemeral, expansion.
"""
