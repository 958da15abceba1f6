"""The Kubernetes vocabulary that every other package shares.

Owns: the names of kinds, object and error values, quantities, selectors, patches, the wire formats, the API
client, informers, work queues and the certificates. Must never import a daemon package or start a process.

Reading order: `kinds` (what a kind is), `objects` (an object is a dict), `errors` (what can go wrong),
`client` and `informer` (how a daemon sees the API), `workqueue` (how it paces itself).
"""
