"""iFlytek Spark's products: which path goes with which domain, and what each accepts.

Source: iFlytek's "星火认知大模型 WebSocket 接口文档", its table of request addresses and of parameters, "图片理解 API
文档", and the documents of X1 and of fine-tuned models ("星火微调服务Web API文档" and "精调服务_WebSocket协议").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

VENDOR_DOMAIN = ".xf-yun.com"
_FINE_TUNED_HOST = "maas-api."
_FINE_TUNED_ONCE = "spark-api-n."
"""Where fine-tuned models were before, at the paths of what they were made of; other products are there too."""


@dataclass(frozen=True, slots=True)
class Product:
    """`domains`: what goes with the path, the usual one first; empty where every account has its own. `max_tokens`
    and `temperature` are the most it accepts; `context`: tokens of all messages together, where that is known.
    `system`: whether it is known to take the role. `pictures`: whether it is asked about one."""

    domains: tuple[str, ...]
    max_tokens: int
    temperature: float = 1.0
    context: int | None = 8192
    system: bool = False
    pictures: bool = False


PRODUCTS: Mapping[str, Product] = {
    "/v1.1/chat": Product(("lite", "general"), 4096),
    "/v2.1/chat": Product(("generalv2",), 8192),
    "/v3.1/chat": Product(("generalv3",), 8192),
    "/chat/pro-128k": Product(("pro-128k",), 4096, context=128 * 1024),
    "/v3.5/chat": Product(("generalv3.5",), 8192, system=True),
    "/chat/max-32k": Product(("max-32k",), 8192, context=32 * 1024),
    "/v4.0/chat": Product(("4.0Ultra",), 8192, system=True),
    "/v1/x1": Product(("spark-x", "x1"), 65535, temperature=2.0, context=64 * 1024),
    "/v1.1/chat_kjwx": Product(("kjwx",), 8192, context=None),
    "/v1.1/chat_multilang": Product(("multilang",), 8192, context=None),
    "/v2.1/image": Product(("imagev3", "general", "image"), 8192, pictures=True),
}
FINE_TUNED = Product((), 32768, context=32767, system=True)
"""A model of one's own ("MaaS"): its domain is its service id; its `context` is of question and answer together."""

UNKNOWN = Product((), 65535, temperature=2.0, context=None, system=True)
"""A path that is not in the table: a gateway, or a product of tomorrow. Nothing is held back from it."""


def product_at(base_url: str) -> Product:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host.startswith(_FINE_TUNED_HOST) or (host.startswith(_FINE_TUNED_ONCE) and parts.path.endswith("/chat")):
        return FINE_TUNED
    return PRODUCTS.get(parts.path, UNKNOWN)


def domain_for(model: str, base_url: str) -> str:
    """A model's id is its domain; but the vendor's own hosts refuse one that doesn't belong to the path, so that there
    the path has the last word."""
    domains = product_at(base_url).domains
    if model in domains or not domains or not (urlsplit(base_url).hostname or "").endswith(VENDOR_DOMAIN):
        return model
    return domains[0]
