"""The manifests are what Kubernetes takes, and agree with each other."""

from __future__ import annotations

import re
from collections.abc import Callable

import kubernetes_validate
import pytest
import yaml

from tests.chat_server import ROOT
from tests.deploy.manifests import (
    FOLDER,
    NOT_OF_THE_CLUSTER,
    Manifest,
    containers,
    disagreements,
    of_kind,
    only,
    shipped,
)

KUBERNETES = ("1.29", "1.34")
MADE_BY_HAND = {"kustomization.yaml", "migrate.yaml", "secret.example.yaml"}
"""Each at its own time, or not a resource."""


@pytest.mark.parametrize("version", KUBERNETES)
def test_each_manifest_has_the_form_of_its_kind(version: str) -> None:
    manifests = [manifest for manifest in shipped() if manifest["kind"] != NOT_OF_THE_CLUSTER]
    assert manifests
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_word_that_is_none_of_a_kind_would_be_found() -> None:
    deployment = only(shipped(), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)


def test_they_agree() -> None:
    assert disagreements(shipped()) == []


def first_container(manifests: list[Manifest]) -> Manifest:
    container: Manifest = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return container


def other_probe_path(manifests: list[Manifest]) -> None:
    first_container(manifests)["readinessProbe"]["httpGet"]["path"] = "/ready"


def probes_exchanged(manifests: list[Manifest]) -> None:
    first_container(manifests)["livenessProbe"]["httpGet"]["path"] = "/readyz"


def other_port_name(manifests: list[Manifest]) -> None:
    first_container(manifests)["ports"][0]["name"] = "web"


def other_service_name(manifests: list[Manifest]) -> None:
    only(manifests, "Service")["metadata"]["name"] = "chat-web"


def other_service_port(manifests: list[Manifest]) -> None:
    only(manifests, "Service")["spec"]["ports"][0]["name"] = "web"


def other_secret(manifests: list[Manifest]) -> None:
    only(manifests, "Secret")["metadata"]["name"] = "chat-secret"


def other_image(manifests: list[Manifest]) -> None:
    first_container(manifests)["image"] = "chat:2"


def other_host(manifests: list[Manifest]) -> None:
    only(manifests, "ConfigMap")["data"]["ALLOWED_HOSTS"] = "other.example.com"


def jobs_in_the_service(manifests: list[Manifest]) -> None:
    del only(manifests, "Service")["spec"]["selector"]["app.kubernetes.io/component"]


def budget_for_nobody(manifests: list[Manifest]) -> None:
    only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] = {"app": "chat"}


def longer_drain(manifests: list[Manifest]) -> None:
    only(manifests, "ConfigMap")["data"]["CHAT_DRAIN_SECONDS"] = "60"


@pytest.mark.parametrize(
    "harm",
    [
        other_probe_path,
        probes_exchanged,
        other_port_name,
        other_service_name,
        other_service_port,
        other_secret,
        other_image,
        other_host,
        jobs_in_the_service,
        budget_for_nobody,
        longer_drain,
    ],
)
def test_a_disagreement_is_found(harm: Callable[[list[Manifest]], None]) -> None:
    manifests = shipped()
    harm(manifests)
    assert disagreements(manifests)


def test_the_image_listens_where_the_manifests_say() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    port = first_container(shipped())["ports"][0]["containerPort"]
    assert f"PORT={port}" in dockerfile
    assert f"EXPOSE {port}" in dockerfile
    user = only(shipped(), "Deployment")["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}" in dockerfile
    for name, container in containers(shipped()):
        for word in container.get("command", ())[:1]:
            assert f"{word}/".startswith(".venv/bin/python"), name


def test_no_replica_is_missed_while_a_release_comes() -> None:
    strategy = only(shipped(), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": 1}


def test_the_kustomization_has_every_file() -> None:
    (listed,) = of_kind(shipped(), NOT_OF_THE_CLUSTER)
    assert sorted(listed["resources"]) == sorted({path.name for path in FOLDER.glob("*.yaml")} - MADE_BY_HAND)


def test_every_setting_of_the_manifests_is_one() -> None:
    known = (ROOT / "README.md").read_text() + (ROOT / "docs/operations.md").read_text()
    known += (ROOT / "scripts/serve").read_text()
    named = {*only(shipped(), "ConfigMap")["data"], *only(shipped(), "Secret")["stringData"]}
    assert {name for name in named if not re.search(rf"\b{name}\b", known)} == set()


def test_the_example_of_a_secret_has_none() -> None:
    text = (FOLDER / "secret.example.yaml").read_text()
    assert yaml.safe_load(text)["stringData"]["SECRET_KEY"] == ""
