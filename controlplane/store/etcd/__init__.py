"""The store on etcd v3: what several API servers share.

Owns the connection to etcd's members, one watch over everything below the prefix, and what an answer that was lost
means. Knows no more of Kubernetes than the rest of the store: where keys lie and what values look like to others who
read them says a `Layout`. Must never answer a write before its watch event was delivered, nor say that a write failed
which etcd has taken.

Reading order: rpc.proto (the messages), members (calls, and who is asked), calls (what may be asked twice), errors
(what failures mean), places (where keys lie), transaction, doubt (lost answers), pages (reading everything), feed (the
watch), leases (what expires), store, restore (copies put back).
"""

import os

# The processes that start children must not have gRPC's fork handlers stop its threads around each of them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
