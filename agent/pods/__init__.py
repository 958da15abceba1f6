"""A pod's life on this node: one worker per pod, a pure planner, an applier that walks the plan.

Owns: when a pod's containers are made, restarted and stopped, what must wait and until when, admission's answer, the
pod's status as it is reported, adoption after a restart of the agent and cleaning of what nobody wants any more.

Never: reads the API server, writes a status by itself, or keeps on disk what the runtime's labels tell.

Reading order: `extract`, `actions` and `plan` (what to do), `attempts` (what must wait), `applier` (doing
it), `lifecycle`, `life`, `sync` and `end` (the stages), `worker` and `pods` (when), `report` and
`view` (what others may see).
"""
