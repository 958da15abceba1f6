"""What the kernel and the runtime's directories still hold of containers that the runtime itself has forgotten.

containerd that is killed between two steps of a start or a stop leaves a shim that nobody will ever ask again, its
bundle, runc's state, processes, cgroups, a socket, a snapshot under a lease. CRI names none of them. Owns finding and
removing them, at the start and every half a minute. Must never touch what containerd's own metadata names, nor anything
of a runtime that keeps no such directories.

Reading order: `model` (values), `plan` (what is nobody's; pure), `traces` (what there is), `collect` (its
removal).
"""
