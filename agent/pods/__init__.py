"""A pod's life on this node: one worker per pod, a pure planner, an applier that walks the plan.

Owns: when a pod's containers are made, restarted and stopped, what must wait and until when, admission's answer, the
pod's status as it is reported, adoption after a restart of the agent and cleaning of what nobody wants any more.

Never: reads the API server, writes a status by itself, or keeps on disk what the runtime's labels tell.

Reading order: `extract`, `actions`, `plan` and `plan_init` (what to do), `attempts` on `backoff` (what must wait),
`applier` (doing it), `resize` and `resizing` (other resources while it runs), `shared`, `lifecycle`, `life`, `sync` and
`end` (the stages), `worker` and `pods` (when), `sweep` (what nobody wants), `storage` (who is evicted for what they
wrote), `report` and `view` (what others may see).
"""
