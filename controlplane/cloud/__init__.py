"""The cloud controller manager: what a cluster asks of the cloud that its nodes run in.

Owns the loops of upstream's cloud-controller-manager: nodes get providerID, addresses and labels (`nodes/`), are marked
when their machine is off and deleted when it is gone, Services get load balancers (`services/`), pod ranges get routes
(`routes/`). Must never know a particular cloud: that is a `Provider` (`interface.py`), given to `app.build`.

Reading order: interface, services, nodes, routes, app.
"""
