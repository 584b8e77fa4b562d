"""How services that speak OpenAI's protocol want to be asked: what their own documents say otherwise than OpenAI's.

Sources: the API references of OpenAI, Azure OpenAI, DeepSeek, Alibaba Model Studio, Zhipu (and its SDK), Kimi, Baidu
Qianfan v2 and iFlytek Spark's HTTP interface; vLLM's, llama.cpp's and Ollama's documentation; the source of
`transformers serve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from chat.providers.base import Params
from chat.providers.spark_products import PRODUCTS, Product

VendorName = Literal[
    "auto", "openai", "azure", "deepseek", "deepseek_beta", "qwen", "glm", "moonshot", "qianfan", "spark",
    "vllm", "llama_cpp", "ollama", "transformers", "other",
]  # fmt: skip

Prefill = Literal["no", "plain", "prefix", "partial", "continue_final_message"]
"""What makes an upstream go on with an unfinished turn of the assistant's at the end: nothing does; the turn alone;
`prefix` or `partial` on it; vLLM's two fields beside the messages."""

ABOVE_ZERO = 0.01
"""Where a parameter must be above 0, the least that is sent."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """`hosts`: where it is found, their subdomains included; a path behind one narrows it down. `max_tokens`, `user`:
    the names of these fields; None where there is none. `counts_on_request`: it knows `stream_options`. `alternates`:
    user and assistant must take turns, from the user to the user. `system`: it knows the role; else its words open the
    first question. `models`: those that differ from the rest at the same address."""

    hosts: tuple[str, ...] = ()
    max_tokens: str = "max_tokens"
    tokens_most: int | None = None
    temperature_least: float = 0.0
    temperature_most: float = 2.0
    top_p_least: float = 0.0
    counts_on_request: bool = True
    user: str | None = "user"
    alternates: bool = False
    system: bool = True
    pictures: bool = True
    prefill: Prefill = "no"
    models: Mapping[str, Vendor] = field(default_factory=dict)

    def of_model(self, model: str) -> Vendor:
        """One address may serve models with limits of their own: there, and only there, a model's name counts."""
        return self.models.get(model, self)


_DEEPSEEK = Vendor(hosts=("api.deepseek.com",), user="user_id")

_SPARK = Vendor(
    hosts=("spark-api-open.xf-yun.com", "maas-api.cn-huabei-1.xf-yun.com"),
    temperature_least=ABOVE_ZERO,
    top_p_least=ABOVE_ZERO,
    counts_on_request=False,  # it counts unasked
    alternates=True,
    pictures=False,  # these are understood by a product of its own, which speaks another protocol
)


def _spark_model(product: Product) -> Vendor:
    return replace(_SPARK, tokens_most=product.max_tokens, temperature_most=product.temperature, system=product.system)


VENDORS: Mapping[str, Vendor] = {
    # Its reasoning models refuse `max_tokens`; the others take either.
    "openai": Vendor(hosts=("api.openai.com",), max_tokens="max_completion_tokens", user="safety_identifier"),
    "azure": Vendor(hosts=("openai.azure.com",), max_tokens="max_completion_tokens"),
    "deepseek_beta": replace(_DEEPSEEK, hosts=("api.deepseek.com/beta",), prefill="prefix"),
    "deepseek": _DEEPSEEK,
    # Some of its models know `partial`, and only while they don't think: it is for the table to say.
    "qwen": Vendor(
        hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
        temperature_most=1.99,
        top_p_least=ABOVE_ZERO,
        user=None,
    ),
    "glm": Vendor(
        hosts=("open.bigmodel.cn", "api.z.ai"),
        temperature_most=1.0,
        top_p_least=ABOVE_ZERO,
        counts_on_request=False,
        user="user_id",
    ),
    "moonshot": Vendor(
        hosts=("api.moonshot.cn", "api.moonshot.ai"),
        max_tokens="max_completion_tokens",
        temperature_most=1.0,
        user=None,
        prefill="partial",
    ),
    "qianfan": Vendor(
        hosts=("qianfan.baidubce.com",),
        temperature_least=ABOVE_ZERO,
        temperature_most=1.0,
        top_p_least=ABOVE_ZERO,
        alternates=True,
    ),
    "spark": replace(
        _SPARK,
        models={
            domain: _spark_model(product)
            for product in PRODUCTS.values()
            if not product.pictures
            for domain in product.domains
        },
    ),
    "vllm": Vendor(top_p_least=ABOVE_ZERO, prefill="continue_final_message"),
    "llama_cpp": Vendor(prefill="plain"),
    "ollama": Vendor(),
    # It refuses both, and answers an unfinished turn with an empty object.
    "transformers": Vendor(counts_on_request=False, user=None),
    "other": Vendor(),
}
"""By the word that `vendor` takes in a providers file; of several that fit an address, the first counts."""


def vendor_at(base_url: str, name: VendorName = "auto") -> Vendor:
    """The one that was named; or whose host it is; or one of which nothing is known."""
    if name != "auto":
        return VENDORS[name]
    parts = urlsplit(base_url)
    host, path = parts.hostname or "", parts.path
    for vendor in VENDORS.values():
        if any(_is_at(place, host, path) for place in vendor.hosts):
            return vendor
    return VENDORS["other"]


def sampling_of(params: Params, vendor: Vendor, max_tokens: str) -> dict[str, float]:
    """What was asked for, within what the vendor takes; `max_tokens` is the field's name."""
    sampling: dict[str, float] = {}
    if params.temperature is not None:
        sampling["temperature"] = min(max(params.temperature, vendor.temperature_least), vendor.temperature_most)
    if params.top_p is not None:
        sampling["top_p"] = min(max(params.top_p, vendor.top_p_least), 1.0)
    if params.max_tokens is not None:
        tokens = max(params.max_tokens, 1)
        sampling[max_tokens] = tokens if vendor.tokens_most is None else min(tokens, vendor.tokens_most)
    return sampling


def _is_at(place: str, host: str, path: str) -> bool:
    vendors_host, slash, vendors_path = place.partition("/")
    if host != vendors_host and not host.endswith("." + vendors_host):
        return False
    return not slash or path.strip("/").split("/")[0] == vendors_path
