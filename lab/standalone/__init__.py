"""The same programs on machines of one's own: a control plane, nodes, each daemon a systemd unit.

Owns: what a person says of a machine (`/etc/wherry/*.yaml`), the machine's certificates and kubeconfigs, joining a
cluster with a bootstrap token, the daemons' settings that follow. Must never keep a daemon up: that is systemd's.

Reading order: `settings` (what can be said), `server` (the control plane), `worker` (agent and proxy), `join`
(how a machine gets its credentials), `tokens` and `publish` (what a cluster shows to those who join), `preflight`
(what of a machine will not do: pure, on what `facts` reads; `checks` has both).
"""
