"""iFlytek Spark, by the simulator that the demonstration uses."""

from __future__ import annotations

from chat.simulators.spark import SparkSimulator
from tests.upstreams.rig import UpstreamRig

KEY, SECRET = "key-of-the-tests", "secret-of-the-tests"

RIG = UpstreamRig(
    simulator=lambda: SparkSimulator(KEY, SECRET),
    table={"kind": "spark", "app_id": "env:APP", "api_key": "env:KEY", "api_secret": "env:SECRET"},
    environment={"APP": "a1b2c3d4", "KEY": KEY, "SECRET": SECRET},
    wrong={"SECRET": "another-secret"},
)
