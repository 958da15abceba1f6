"""A provisioner of volumes that are directories of a node, as small clusters have one: the class `local-path`.

A volume lies on one node, chosen by the scheduler (WaitForFirstConsumer) or here (Immediate), and its pods follow it.
The directory is made and removed by a pod on that node, which any kubelet runs; how much a claim asks for is not held.
Owns: volumes provisioned by `wherry.local/local-path` and the pods that make and remove their directories.
Must never: remove a directory while its claim may still be there, or one whose policy is Retain.
Reading order: plan, controller.
"""
