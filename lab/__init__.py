"""The command line and the one-machine cluster: every node a network namespace, every daemon a real process.

Owns: the `wherry` commands, the plan of a lab (addresses, processes, files), its namespaces and links, its
certificates, the supervisor that keeps the daemons up, the offline images, and taking all of it away again.
Must never do a daemon's work: it starts programs and watches them.

Reading order: `spec` (what a lab is), `paths` and `names` (what it is called), `components` (which
processes, pure), `network`, `supervisor`, `cluster` (up and down, step by step), `changes` (of one that
runs), `cli`.
"""
