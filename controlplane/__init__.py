"""The control plane: API server, its store, scheduler and controllers.

Owns everything that is decided once for the whole cluster. The four parts talk to one another only through the API
(scheduler and controllers are ordinary clients); nothing here touches a node's kernel or its runtime.

Reading order: store (revisions on disk), apiserver (the API over it), scheduler, controllers.
"""
