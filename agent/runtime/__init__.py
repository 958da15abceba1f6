"""Pods into containers: one worker per pod, a pure planner, an applier that walks the plan.

Owns: sandboxes and containers of this node's pods, their cgroups and directories, image pulls, restarts and
back-off, lifecycle hooks, graceful termination, adoption after a restart of the agent and cleaning of what
nobody wants any more.

Never: reads the API server, writes a status by itself, or keeps on disk what the runtime's labels tell.

Reading order: ``plan`` and ``planner`` (what to do), ``attempts`` (what must wait), ``sandbox_config`` and
``container_config`` (how the runtime is told), ``applier`` with ``images``, ``hooks`` and ``kill`` (doing it),
``cache`` and ``heard`` (what is), ``lifecycle``, ``worker`` and ``pods`` (when), ``report`` and ``view`` (what others
may see).
"""
