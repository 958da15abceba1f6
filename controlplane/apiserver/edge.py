"""Puts the server's edges together: who may, how answers are encoded, discovery, subresources and streams.

The composition root of everything beside the core: each part is built here from `Parts` and handed over as one `Edge`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apimachinery.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    NODE,
    PERSISTENT_VOLUME,
    POD,
    RESOURCE_SLICE,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
    VOLUME_ATTACHMENT,
)
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.objects import Obj
from apimachinery.version import GIT_VERSION
from controlplane.apiserver import self_description
from controlplane.apiserver.admission import chain as admission_chain
from controlplane.apiserver.admission import connections
from controlplane.apiserver.admission.plugin import Needs
from controlplane.apiserver.aggregation.aggregation import Aggregation
from controlplane.apiserver.authn import keys, token_file
from controlplane.apiserver.authn.authenticator import Authenticator, TokenSettings
from controlplane.apiserver.authn.certificates import Fronts, ders
from controlplane.apiserver.authn.reviews import IdentityReviews
from controlplane.apiserver.authz import chain, default_policy
from controlplane.apiserver.authz.graph import Graph
from controlplane.apiserver.authz.node import NodeAuthorizer
from controlplane.apiserver.authz.rbac import Policy
from controlplane.apiserver.authz.reviews import AccessReviews
from controlplane.apiserver.catalog.catalog import Catalog, Current
from controlplane.apiserver.discovery import Sources
from controlplane.apiserver.formats.negotiate import negotiate
from controlplane.apiserver.maintained.token_use import TokenUse
from controlplane.apiserver.openapi.documents import Documents
from controlplane.apiserver.patching import Patches
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Decision, Handler, User
from controlplane.apiserver.resources import metrics
from controlplane.apiserver.self_description import OtherDocuments
from controlplane.apiserver.settings import Settings
from controlplane.apiserver.streams import backend
from controlplane.apiserver.streams import routes as streams
from controlplane.apiserver.streams.pods import PodStreams
from controlplane.apiserver.streams.proxy import Proxies
from controlplane.apiserver.streams.usage import Meter
from controlplane.apiserver.subresources import routes as subresources
from controlplane.apiserver.subresources.metrics import Metrics
from controlplane.apiserver.subresources.token import Tokens
from controlplane.apiserver.supplied import Edge, Routes

BOUND_KINDS = {"ServiceAccount": SERVICE_ACCOUNT, "Pod": POD, "Node": NODE, "Secret": SECRET}


@dataclass(frozen=True)
class Parts:
    """What an edge is built from."""

    settings: Settings
    registry: Registry
    lifecycle: Lifecycle


def policy_of(registry: Registry) -> Policy:
    """An RBAC index that follows the registry."""
    policy = Policy()
    for kind in (CLUSTER_ROLE, ROLE):
        registry.subscribe(kind, policy.role_changed)
    for kind in (CLUSTER_ROLE_BINDING, ROLE_BINDING):
        registry.subscribe(kind, policy.binding_changed)
    return policy


def graph_of(registry: Registry) -> Graph:
    """What belongs to which node, following the registry."""
    graph = Graph()
    registry.subscribe(POD, graph.pod_changed)
    registry.subscribe(PERSISTENT_VOLUME, graph.volume_changed)
    registry.subscribe(VOLUME_ATTACHMENT, graph.attachment_changed)
    registry.subscribe(RESOURCE_SLICE, graph.slice_changed)
    return graph


def authorizers_of(settings: Settings, registry: Registry, policy: Policy) -> chain.Chain:
    """The chain of authorizers that the settings name."""
    out: list[chain.Authorizer] = [chain.masters]
    if "Node" in settings.authorization_mode:
        out.append(NodeAuthorizer(graph_of(registry), default_policy.rules_of("system:node")).decide)
    if "RBAC" in settings.authorization_mode:
        out.append(policy.decide)
    if "AlwaysAllow" in settings.authorization_mode:
        out.append(lambda user, wanted: Decision(True))
    return chain.Chain(tuple(out))


def token_settings(parts: Parts) -> TokenSettings:
    """How service account tokens are verified; without a key file none are."""
    settings, registry = parts.settings, parts.registry

    def lookup(kind: str, namespace: str, name: str) -> Obj | None:
        return registry.find(BOUND_KINDS[kind], namespace, name)

    issuer = settings.service_account_issuer
    path = settings.service_account_key_file
    found = {key.key_id: key for key in ([keys.load_public_key(path.read_bytes())] if path else [])}
    use = TokenUse(registry)
    parts.lifecycle.spawn("use of tokens", use.run())
    return TokenSettings((issuer,), (issuer,), found, lookup, use.note)


def pem(path: Path | None) -> str:
    """What a file of certificates holds; "" without one. Raises OSError."""
    return path.read_text() if path is not None else ""


def fronts_of(settings: Settings) -> Fronts | None:
    """Which servers in front are believed."""
    if settings.requestheader_client_ca_file is None:
        return None
    authorities, clients = map(ders, map(pem, (settings.requestheader_client_ca_file, settings.client_ca_file)))
    return Fronts(authorities, clients, settings.requestheader_allowed_names)


def document_routes(catalog: Catalog, sources: Sources, others: OtherDocuments, address: str) -> dict[str, Handler]:
    """The paths of discovery and OpenAPI."""
    openapi = Current(catalog, lambda: Documents(catalog.served(), GIT_VERSION))
    found = self_description.discovery_handler(sources, address)
    return {
        "/api": found,
        "/apis": found,
        "/openapi/v3": self_description.openapi_v3_handler(openapi, others),
        "/openapi/v2$": self_description.openapi_v2_handler(openapi, others),
    }


def tokens_of(settings: Settings, registry: Registry) -> Tokens | None:
    """The issuer of service account tokens; None without a key to sign with."""
    if settings.service_account_key_file is None:
        return None
    key = keys.load_signing_key(settings.service_account_key_file.read_bytes())
    issuer = settings.service_account_issuer
    return Tokens(registry, key, issuer, (issuer,))


def agents_of(settings: Settings, registry: Registry) -> backend.Agents:
    """The nodes' agents, to whom this server is their client."""
    certificate, key = settings.kubelet_client_cert_file, settings.kubelet_client_key_file
    tls = backend.client_context(certificate, key, settings.kubelet_ca_file)
    return backend.Agents(lambda name: registry.find(NODE, "", name), tls)


def metrics_of(parts: Parts) -> dict[tuple[str, str, str], Handler]:
    """metrics.k8s.io, where it is wanted."""
    settings, registry = parts.settings, parts.registry
    if not settings.serve_metrics:
        return {}
    for row in metrics.ROWS:
        registry.catalog.add(row)
    found = Metrics(registry, Meter(agents_of(settings, registry)))
    parts.lifecycle.spawn("usage of nodes", found.run())
    return found.routes()


def streams_of(settings: Settings, registry: Registry, authorize: chain.Chain) -> dict[tuple[str, str, str], Handler]:
    """Log, exec, attach, port-forward and proxy, through the nodes' agents."""
    agents = agents_of(settings, registry)
    # What a pod serves over TLS is judged by nobody here, as upstream's proxy.
    proxies = Proxies(registry, agents, backend.client_context(None, None, None))
    return streams.table(PodStreams(registry, agents, authorize), proxies)


def issuer_routes(settings: Settings, address: str, public: tuple[keys.PublicKey, ...]) -> dict[str, Handler]:
    """OpenID discovery (RFC 8414 shape) and the key set, for verifiers outside the cluster.

    The keys are where the settings say, or else at this server itself, `address`: the issuer is a name that may lead
    nowhere.
    """
    uri = settings.service_account_jwks_uri or f"https://{address}/openid/v1/jwks"
    found = keys.openid_configuration(settings.service_account_issuer, uri, public)
    return {
        "/.well-known/openid-configuration$": self_description.fixed(found),
        "/openid/v1/jwks$": self_description.fixed(keys.key_set(public), "application/jwk-set+json"),
    }


def _static_tokens(path: Path | None) -> dict[str, User]:
    return token_file.load(path) if path else {}


def assemble(parts: Parts) -> Edge:
    """The edges of one server."""
    settings, registry = parts.settings, parts.registry
    policy = policy_of(registry)
    authorize = authorizers_of(settings, registry, policy)
    authenticate = Authenticator(
        tokens=token_settings(parts),
        static_tokens=_static_tokens(settings.token_file),
        bootstrap_tokens=settings.bootstrap_token_auth,
        constrained=settings.constrained_impersonation,
        authorize=authorize,
        forbid=chain.refusal,
        fronts=fronts_of(settings),
    )
    identity = IdentityReviews(authenticate, registry.admit_part)
    resources = subresources.table(registry, Patches(), tokens_of(settings, registry), identity)
    resources |= AccessReviews(authorize, policy, registry.admit_part).routes()
    resources |= metrics_of(parts)
    resources |= connections.guarded(streams_of(settings, registry, authorize), registry)
    address = f"{settings.advertise_address or settings.bind_host}:{settings.port}"
    aggregation = Aggregation(registry, _pair(settings.proxy_client_cert_file, settings.proxy_client_key_file))
    aggregation.tend(parts.lifecycle)
    paths = document_routes(registry.catalog, aggregation, aggregation.openapi, address)
    paths |= issuer_routes(settings, address, tuple(authenticate.tokens.keys.values()))
    routes = Routes(resources=resources, paths=paths)
    return Edge(
        authenticate=authenticate,
        authorize=authorize,
        negotiate=negotiate,
        admission=admission_chain.build(Needs(registry, settings, authorize, policy, parts.lifecycle)),
        sources=aggregation,
        routes=routes,
        elsewhere=aggregation.handler,
    )


def _pair(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    return (certificate, key) if certificate is not None and key is not None else None
