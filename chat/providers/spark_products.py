"""iFlytek Spark's products: which path goes with which domain, and what each accepts.

Source: iFlytek's "星火认知大模型 WebSocket 接口文档", its table of request addresses and of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

VENDOR_HOST = "spark-api.xf-yun.com"


@dataclass(frozen=True, slots=True)
class Product:
    """`domains`: what goes with the path, the usual one first; empty where every account has its own. `max_tokens`
    and `temperature` are the most it accepts. `system`: whether it knows the role."""

    domains: tuple[str, ...]
    max_tokens: int
    temperature: float = 1.0
    system: bool = True


PRODUCTS: Mapping[str, Product] = {
    "/v1.1/chat": Product(("lite", "general"), 4096, system=False),
    "/v2.1/chat": Product(("generalv2",), 8192, system=False),
    "/v3.1/chat": Product(("generalv3",), 8192, system=False),
    "/chat/pro-128k": Product(("pro-128k",), 4096),
    "/v3.5/chat": Product(("generalv3.5",), 8192),
    "/chat/max-32k": Product(("max-32k",), 8192),
    "/v4.0/chat": Product(("4.0Ultra",), 8192),
    "/v1/x1": Product(("spark-x", "x1"), 65535, temperature=2.0),
    "/v1.1/chat_kjwx": Product(("kjwx",), 8192, system=False),
    "/v1.1/chat_multilang": Product(("multilang",), 8192, system=False),
    "/v2.1/image": Product(("imagev3", "general", "image"), 8192, system=False),
}
FINE_TUNED = Product((), 32768)
"""A model of one's own ("MaaS"): its domain is its service id."""

UNKNOWN = Product((), 65535, temperature=2.0)
"""A path that is not in the table: a gateway, or a product of tomorrow. Nothing is held back from it."""


def product_at(base_url: str) -> Product:
    parts = urlsplit(base_url)
    if (parts.hostname or "").startswith("maas-api."):
        return FINE_TUNED
    return PRODUCTS.get(parts.path, UNKNOWN)


def domain_for(model: str, base_url: str) -> str:
    """A model's id is its domain; but the vendor's own host refuses one that doesn't belong to the path, so that there
    the path has the last word."""
    domains = product_at(base_url).domains
    if model in domains or not domains or urlsplit(base_url).hostname != VENDOR_HOST:
        return model
    return domains[0]
