"""Devices of claims (dynamic resource allocation): drivers register here, prepare what pods were allocated, and say
which CDI devices their containers get.

Owns: the sockets of drivers' plugins, the claims that are prepared on this node, the ResourceSlices of drivers that are
gone. Must never allocate, nor act on a pod. Reading order: `messages` (pure), `drivers` and `registration` (who there
is), `state` and `claims` (what is prepared), `cdi` (what a container gets).
"""
