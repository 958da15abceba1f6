"""What a pod has of its node outside the runtime: cgroups, directories, names.

Must never talk to the runtime or the API server. Reading order: `paths` (where files lie), `resources` (requests
and limits as the kernel's figures), `cgroups`, `figures` and `processes` (what the kernel counts of them), `dns` and
`hosts` (resolver, host name, /etc/hosts; pure), `names` (the files themselves).
"""
