"""Node lifecycle: what becomes of nodes that fall silent or say they are not well, and of the pods there.

Owns: conditions set to Unknown for a silent node, the node.kubernetes.io/* taints, the readiness of pods on
nodes that are not ready, the eviction of pods that do not tolerate NoExecute taints.
Must never: call a node silent by comparing its clock with ours, or evict when all of a zone fell silent at
once (then the fault is more likely ours).
Reading order: health (silence), taints, controller; eviction (the pods).
"""
