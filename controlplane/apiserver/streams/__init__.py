"""Streams: what a client says to a container through the server, and what it hears back.

Owns pods/log, exec, attach, portforward and the proxy subresources: finding the agent (or address) behind an object,
checking the request as upstream does, and passing bytes both ways with back-pressure. Never looks into the streams
it carries, never holds more of one than a buffer, and leaves no connection behind when either side goes.

    kubectl --WebSocket|SPDY--> [ hijacked connection ] --same bytes--> agent :10250/exec/NS/POD/CONTAINER
    kubectl <---- text ------- [ Response, streamed   ] <---chunks----- agent :10250/containerLogs/NS/POD/CONTAINER

The agent speaks the streaming protocols; the server only joins the two connections. Another translation (an upstream
kubelet that wants SPDY where the client speaks WebSocket) takes the place of `tunnel.join` alone.

Reading order: `options` (query to agent path, pure), `wire` (HTTP/1.1 heads and bodies), `backend` (dialling),
`tunnel` (joining two connections), `pods` (the handlers), `targets` (what a proxied name means, pure),
`forwarding` (headers that go on, pure), `proxy`, `services` (the way to servers that are known by a
Service: webhooks, and those behind APIServices).
"""
