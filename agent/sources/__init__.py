"""Where desired pods come from: the API server and a directory of manifests.

A source names, completes and delivers pods and knows nothing of what runs. Must never judge, start or stop
a pod. Reading order: static (how a manifest becomes a pod, pure), defaults (what the API server would have
filled in, pure), file and api (the two sources).
"""
