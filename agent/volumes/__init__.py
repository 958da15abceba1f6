"""Volumes of pods on this host: what they hold, where they are mounted, how they go away.

    pod --extract--> Volume --plan--> VolumePlan --plugins--> <root>/pods/<uid>/volumes/<plugin>/<name>
                                                 --host-----> Mounts for the runtime
    objects --sources, payload--> files --atomic--> a volume

Must never call the runtime, nor remember anything that the disk does not say: a restarted agent tears down pods it
never saw. A kind of volume is a plugin, a row in `plugins.PLUGINS`. Reading order: plugin (what a kind has to say),
plugins (the kinds), extract and plan (pod to volumes and mounts, pure), payload (objects to files, pure), sources (the
objects), atomic (the ..data switch), directory, ownership (fsGroup), subpath (safe against links), hostpath, host (the
applier), refresh (running pods).
"""
