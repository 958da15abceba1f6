"""The agent: a kubelet. It turns desired pods into running containers and reports what became of them.

Owns: everything between "this pod belongs on this node" and the container runtime's socket, the pod status
written back, the node object, and the kubelet's HTTPS API on port 10250.

Never: decides where a pod runs, writes a packet rule, keeps state of its own that the runtime already keeps (a
restarted agent learns all it needs from the runtime, the API server and a few small files), or touches a running
container because the agent itself was restarted.

Reading order:

1. `app`          the composition root
2. `sources`      where desired pods come from (API server, manifest files)
3. `admission`    whether a pod may run here at all
4. `pods`         pod workers, the pure planner, the applier
5. `containers`   one sandbox, one container, one image at a time; `cri` is the one door to the runtime
6. `host`         cgroups, directories and names of pods
7. `status`, `probes`   what is reported, and what decides readiness
8. `volumes`, `env`, `devices`     what a container gets to see, out of `objects` of the API
9. `node`, `server`, `logs`   the node object, port 10250, log files
10. `leftovers`   what a runtime that was killed has forgotten

In the package itself lies what all of them read: `podspec`, `restarts`, `downward` and `expansion` (what a
pod's specification says), `failures` (why something cannot be had now), `reporter` (events), `metrics` (the agent's
own numbers), `view` (what is shown of the runtime), `settings`.
"""
