"""The one door to the container runtime: CRI v1 over a unix socket, and nothing else.

Owns: the gRPC channel, deadlines, translation of answers into frozen records (`model`) and of failures into
`errors`, the runtime's event stream, and what the runtime holds and last said (`cache`, `heard`).

Never: decides anything about pods, retries, or lets a gRPC object out. CRI messages that pods are turned into
are plain protobuf messages; they are built in `agent.containers` through `messages`.

Reading order: `errors`, `model`, `names`, `channel`, `client`, `events` with `wire`, `cache`,
`heard`.
"""

import os

# The agent starts child processes; gRPC's fork handlers would stop its threads around each of them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
