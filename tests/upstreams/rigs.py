"""Every upstream that has a simulator: each module of this package with a `RIG` is one."""

from __future__ import annotations

import importlib
import pkgutil

import tests.upstreams
from tests.upstreams.rig import UpstreamRig


def _rigs() -> dict[str, UpstreamRig]:
    rigs = {}
    for module in pkgutil.iter_modules(tests.upstreams.__path__):
        rig = getattr(importlib.import_module(f"tests.upstreams.{module.name}"), "RIG", None)
        if isinstance(rig, UpstreamRig):
            rigs[module.name] = rig
    return rigs


RIGS = _rigs()
