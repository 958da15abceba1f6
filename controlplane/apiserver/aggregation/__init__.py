"""Groups that other servers serve behind this one: whoever asks here is answered by them.

Owns what upstream's kube-aggregator does with APIServices: passing requests on, with the user's name in headers that a
client certificate vouches for, and looking whether the servers answer. Never judges what they say, never keeps an
object of theirs.

    kubectl ──> pipeline (authenticate, authorize) ──> passing ──TLS, X-Remote-User──> a Service's endpoint
                                                          │
    APIService objects ──> remotes (what is served where) ┘ <── availability writes their conditions

Reading order: `remotes` (an APIService as a value), `dialling` (the way there), `passing`, `conditions` (what an
APIService's condition should be, pure), `availability` (the loop that writes it), `documents` (discovery documents,
pure), `discovering` (the loop that asks for them), `specifying` (the same of OpenAPI documents), `aggregation` (all
of it together).
"""
