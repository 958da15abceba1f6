"""HorizontalPodAutoscaler: as many replicas as the metrics ask for, no faster than its behaviour lets them come and go.

Owns: the size of what an autoscaler names, by its /scale, and the autoscaler's status.
Must never: shrink what it knows only half the metrics of, or take a pod that has just started for one that idles.
Reading order: replicas (metrics into a number), behavior (how fast), plan (one look), sources (where metrics come
from), controller.
"""
