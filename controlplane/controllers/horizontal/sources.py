"""Where metrics come from: metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io, whoever serves them."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

from apimachinery import duration, errors
from apimachinery.client import Client
from apimachinery.kinds import POD_METRICS
from apimachinery.objects import Obj, name
from apimachinery.quantity import parse
from apimachinery.timestamps import parse_time
from controlplane.controllers.horizontal.plan import Measured, source_of
from controlplane.controllers.horizontal.replicas import Metric
from controlplane.controllers.served import ServedKinds

CUSTOM, EXTERNAL = "/apis/custom.metrics.k8s.io/v1beta2", "/apis/external.metrics.k8s.io/v1beta1"


class Sources:
    """Asks the API as the loop's account."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._served = ServedKinds(client)

    async def measure(self, spec: Obj, space: str, selector: str) -> Measured:
        """One metric of an autoscaler; a source that does not answer is a failure that says so. Unreachable."""
        kind, source = spec["type"], source_of(spec)
        what = source.get("name") or (source.get("metric") or {}).get("name") or ""
        failure = {
            "Resource": f"unable to get metrics for resource {what}",
            "ContainerResource": f"unable to get metrics for resource {what}",
            "External": f"unable to get external metric {space}/{what}",
        }.get(kind, f"unable to get metric {what}")
        try:
            if kind in ("Resource", "ContainerResource"):
                return await self._resource(source, space, selector)
            if kind == "Pods":
                return await self._of_pods(source["metric"], space, selector)
            if kind == "Object":
                return await self._of_object(source, space)
            return await self._external(source["metric"], space)
        except errors.ApiError as error:
            return Measured(failure=f"{failure}: {error}")

    async def _resource(self, source: Obj, space: str, selector: str) -> Measured:
        answer = await self._client.list(POD_METRICS, space, label_selector=selector)
        container = source.get("container") or ""
        found = {}
        for pod in answer["items"]:
            amount = _used(pod, source["name"], container)
            if amount is not None:
                window = timedelta(seconds=duration.seconds(pod["window"]))
                found[name(pod)] = Metric(amount, parse_time(pod["timestamp"]), window)
        if not found:
            which = f"container {container} in " if container else ""
            return Measured(
                failure=f"unable to get metrics for resource {source['name']}: no metrics returned from"
                f" resource metrics API for {which}pods of {selector}"
            )
        return Measured(found)

    async def _of_pods(self, metric: Obj, space: str, selector: str) -> Measured:
        path = f"{CUSTOM}/namespaces/{space}/pods/*/{quote(metric['name'], safe='')}"
        answer = await self._client.request(
            "GET", path, query=_query(metric, "metricLabelSelector") | {"labelSelector": selector}
        )
        found = {}
        for item in answer.get("items") or ():
            window = timedelta(seconds=item.get("windowSeconds") or 60)
            moment = parse_time(item["timestamp"]) if item.get("timestamp") else None
            found[item["describedObject"]["name"]] = Metric(parse(item["value"]).milli(), moment, window)
        return Measured(found)

    async def _of_object(self, source: Obj, space: str) -> Measured:
        about, metric = source["describedObject"], source["metric"]
        group = str(about.get("apiVersion") or "").rpartition("/")[0]
        kind = await self._served.of(group, about["kind"])
        if kind is None:
            return Measured(failure=f"unable to get metric {metric['name']}: nobody serves the kind {about['kind']}")
        path = f"{CUSTOM}/namespaces/{space}/{kind.resource}/{about['name']}/{quote(metric['name'], safe='')}"
        answer = await self._client.request("GET", path, query=_query(metric, "metricLabelSelector"))
        items: list[Obj] = answer.get("items") or []
        if len(items) != 1:
            return Measured(
                failure=f"unable to get metric {metric['name']}: {len(items)} values were told instead of one"
            )
        return Measured(value=parse(items[0]["value"]).milli())

    async def _external(self, metric: Obj, space: str) -> Measured:
        path = f"{EXTERNAL}/namespaces/{space}/{quote(metric['name'], safe='')}"
        answer = await self._client.request("GET", path, query=_query(metric, "labelSelector"))
        items = answer.get("items") or ()
        if not items:
            return Measured(failure=f"unable to get external metric {space}/{metric['name']}: no metrics returned")
        return Measured(value=sum(parse(item["value"]).milli() for item in items))


def _used(pod: Obj, resource: str, container: str) -> int | None:
    """What a pod (or its container) uses; None where one of its containers does not say."""
    amounts = []
    for each in pod.get("containers") or ():
        if container and each["name"] != container:
            continue
        amount = (each.get("usage") or {}).get(resource)
        if amount is None:
            return None
        amounts.append(parse(amount).milli())
    return sum(amounts) if amounts else None


def _query(metric: Obj, parameter: str) -> dict[str, str]:
    """A metric's own selector as a query."""
    selector: Obj = metric.get("selector") or {}
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        listed = f"({','.join(one.get('values') or ())})"
        words = {"In": f"{one['key']} in {listed}", "NotIn": f"{one['key']} notin {listed}"}
        parts.append(words.get(one["operator"], one["key"] if one["operator"] == "Exists" else f"!{one['key']}"))
    return {parameter: ",".join(parts)} if parts else {}
