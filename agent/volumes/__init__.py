"""Volumes of pods on this host: what they hold, where they are mounted, how they go away.

    pod + objects --payload--> files --atomic--> <root>/pods/<uid>/volumes/<plugin>/<name>
                  --plan-----> tmpfs, hostPath      --host--> Mounts for the runtime

Must never call the runtime, nor remember anything that the disk does not say: a restarted agent tears down
pods it never saw. Reading order: payload (objects to files, pure), plan (pod to volumes and mounts, pure),
atomic (the ..data switch), ownership (fsGroup), subpath (safe against links), hostpath, host (the applier), refresh
(running pods).
"""
