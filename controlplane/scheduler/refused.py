"""What stops a pod between its decision and its binding."""


class Refused(Exception):
    """What a plugin raises from `reserve`, `permit`, `pre_bind` or `bind`: the pod is tried again later. The
    text says why.
    """
