"""OpenAI's Chat Completions, by the simulator that the demonstration uses."""

from __future__ import annotations

from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.upstreams.rig import UpstreamRig

KEY = "key-of-the-tests"

RIG = UpstreamRig(
    simulator=lambda: OpenAIChatSimulator(KEY),
    table={"kind": "openai_chat", "api_key": "env:KEY"},
    environment={"KEY": KEY},
    wrong={"KEY": "another-secret"},
)
