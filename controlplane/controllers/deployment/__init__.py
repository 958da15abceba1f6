"""Deployment: rolls pods from one template to the next by growing and shrinking ReplicaSets.

Owns: ReplicaSets controlled by a Deployment, the Deployment's status and its revision annotation.
Must never: touch a pod, or go below the pods that must stay available because of a write of its own.
Reading order: revisions (templates, hashes, history), sizes (how many of which), status, plan (all of it),
controller.
"""
