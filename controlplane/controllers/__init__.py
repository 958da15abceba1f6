"""The controllers: loops that move what is towards what is wanted.

Owns: everything upstream's kube-controller-manager owns, in one process; `loops` is the list of them.
Must never: decide inside an applier, change an object of an informer's cache, or act before caches have
synced. A loop killed at any point is continued by the next process: what was done is read back from the API,
nothing is kept elsewhere.

Reading order: `registry`, `context` (what a loop is given), `ownership` and `expectations` (who owns
which pod, what was asked for but not seen yet), then one loop: `plan` (pure) and `controller` (reads,
applies).
"""
