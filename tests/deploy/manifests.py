"""The manifests for Kubernetes, and whether they agree with each other and with the product."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from django.urls import Resolver404, resolve

from tests.chat_server import ROOT

FOLDER = ROOT / "deploy/kubernetes"
NOT_OF_THE_CLUSTER = "Kustomization"

Manifest = dict[str, Any]


def shipped(folder: Path = FOLDER) -> list[Manifest]:
    """Of every file."""
    return [document for path in sorted(folder.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]


def of_kind(manifests: list[Manifest], kind: str) -> Iterator[Manifest]:
    return (manifest for manifest in manifests if manifest["kind"] == kind)


def only(manifests: list[Manifest], kind: str) -> Manifest:
    (manifest,) = of_kind(manifests, kind)
    return manifest


def pod_templates(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """What starts pods, by name, and how each of them is."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest.get('metadata', {}).get('name')}"
        if manifest["kind"] in ("Deployment", "Job"):
            yield name, manifest["spec"]["template"]
        elif manifest["kind"] == "CronJob":
            yield name, manifest["spec"]["jobTemplate"]["spec"]["template"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for name, template in pod_templates(manifests):
        for container in template["spec"]["containers"]:
            yield name, container


def disagreements(manifests: list[Manifest]) -> list[str]:
    """In words; none where all is well."""
    return [
        *_of_references(manifests),
        *_of_selectors(manifests),
        *_of_ports(manifests),
        *_of_probes(manifests),
        *_of_durations(manifests),
    ]


def _of_references(manifests: list[Manifest]) -> Iterator[str]:
    there = {(manifest["kind"], manifest.get("metadata", {}).get("name")) for manifest in manifests}
    for name, container in containers(manifests):
        for source in container["envFrom"]:
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source and (kind, source[field]["name"]) not in there:
                    yield f"{name}: no {kind} {source[field]['name']}"
    images = {container["image"] for _, container in containers(manifests)}
    if len(images) != 1:
        yield f"several images: {sorted(images)}"


def _of_selectors(manifests: list[Manifest]) -> Iterator[str]:
    web = only(manifests, "Deployment")
    selectors = {
        "Service": only(manifests, "Service")["spec"]["selector"],
        "Deployment": web["spec"]["selector"]["matchLabels"],
        "PodDisruptionBudget": only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    }
    for spread in web["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        selectors["spread"] = spread["labelSelector"]["matchLabels"]
    for kind, selector in selectors.items():
        taken = {
            name
            for name, template in pod_templates(manifests)
            if selector.items() <= template["metadata"]["labels"].items()
        }
        if taken != {f"Deployment {web['metadata']['name']}"}:
            yield f"{kind} selects {sorted(taken)}"


def _of_ports(manifests: list[Manifest]) -> Iterator[str]:
    service = only(manifests, "Service")
    listening = {port["name"] for _, container in containers(manifests) for port in container.get("ports", ())}
    offered = {port["name"] for port in service["spec"]["ports"]}
    for port in service["spec"]["ports"]:
        if port["targetPort"] not in listening:
            yield f"Service: no container has a port {port['targetPort']}"
    hosts = set()
    for rule in only(manifests, "Ingress")["spec"]["rules"]:
        hosts.add(rule["host"])
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            if backend["name"] != service["metadata"]["name"] or backend["port"]["name"] not in offered:
                yield f"Ingress: no Service {backend['name']} with a port {backend['port']['name']}"
    allowed = set(only(manifests, "ConfigMap")["data"]["ALLOWED_HOSTS"].split(","))
    secured = {host for tls in only(manifests, "Ingress")["spec"]["tls"] for host in tls["hosts"]}
    if not hosts <= allowed & secured:
        yield f"Ingress: {sorted(hosts)}, of which the server allows {sorted(allowed)} and TLS has {sorted(secured)}"


def _of_probes(manifests: list[Manifest]) -> Iterator[str]:
    (container,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    wanted = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for kind, path in wanted.items():
        probe = container[kind]["httpGet"]
        if probe["port"] not in ports:
            yield f"{kind}: no port {probe['port']}"
        if probe["path"] != path:
            yield f"{kind}: asks {probe['path']}, not {path}"
        try:
            resolve(probe["path"])
        except Resolver404:
            yield f"{kind}: the server has no {probe['path']}"


def _of_durations(manifests: list[Manifest]) -> Iterator[str]:
    pod = only(manifests, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = only(manifests, "ConfigMap")["data"]
    sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = sleep + int(settings["CHAT_DRAIN_SECONDS"]) + int(settings["GRACE_SECONDS"])
    if pod["terminationGracePeriodSeconds"] <= needed:
        yield f"killed after {pod['terminationGracePeriodSeconds']} s, while {needed} s may be needed"
