"""The agent's HTTPS API on port 10250: what a kubelet answers.

    kubectl --WebSocket v5 / SPDY--> API server --the same bytes--> agent --SPDY--> runtime's streaming server

Owns the listener, its access rule, and the translation between clients' streaming protocols and the runtime's. Must
never decide about a pod: it only reads agent.view.RuntimeView. Reading order: spdy and channels (the two framings,
pure), dial (connections to the runtime), remotecommand (exec, attach), portforward, tunnel (bytes passed on as they
are), logs, files, checkpoint, configz, stats, cadvisor with families, access and authorize (who may come in), tls,
serve (routes and listener).
"""
