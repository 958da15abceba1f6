"""The agent: a kubelet. It turns desired pods into running containers and reports what became of them.

Owns: everything between "this pod belongs on this node" and the container runtime's socket, the pod status
written back, the node object, and the kubelet's HTTPS API on port 10250.

Never: decides where a pod runs, writes a packet rule, keeps state of its own that the runtime already keeps (a
restarted agent learns all it needs from the runtime, the API server and a few small files), or touches a running
container because the agent itself was restarted.

Reading order:

1. ``seams``        the vocabulary the parts share: who hands what to whom
2. ``app``          the composition root
3. ``sources``      where desired pods come from (API server, manifest files)
4. ``admission``    whether a pod may run here at all
5. ``runtime``      pod workers, the pure planner, the applier; ``cri`` is its one door to the runtime
6. ``status``, ``probes``   what is reported, and what decides readiness
7. ``volumes``, ``env``     what a container gets to see
8. ``node``, ``server``, ``logs``   the node object, port 10250, log files
9. ``leftovers``    what a runtime that was killed has forgotten
"""
