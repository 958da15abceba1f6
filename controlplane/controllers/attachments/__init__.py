"""Volumes of drivers, attached to the nodes that need them and detached from those that do not.

Owns: VolumeAttachments of persistent volumes, `status.volumesAttached` of nodes. The driver's attacher does the work
and says so in a VolumeAttachment's status; a node says in `status.volumesInUse` what it still has mounted.
Must never: attach a volume of one writer to two nodes, or detach what a healthy node has mounted.
Reading order: volumes (what a volume is called, who may share it), plan (one volume), observed, controller.
"""
