"""iFlytek's signature: ours is the vendor's, and the simulated gateway takes what the real one takes of others."""

from __future__ import annotations

import base64
import email.utils
import json
import time
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from chat.providers.spark_signing import sign, signed_url
from chat.simulators.spark_gateway import SKEWED, UNEQUAL, UNSIGNED, UNVERIFIABLE, refused

KEY = "0123456789abcdef0123456789abcdef"
SECRET = "TUFERS1VUC1TRUNSRVQtRk9SLVRFU1RT"
DATE = "Fri, 02 Jan 2026 03:04:05 GMT"
MOMENT = 1767323045.0

VECTORS = [
    ("spark-api.xf-yun.com", "/v4.0/chat", DATE, "P9/37SSAigZEtdsfrREEWwMEGsRWqJcYhadjP8awa+s="),
    ("spark-api.xf-yun.com", "/chat/pro-128k", DATE, "KfXesbIHLi1cAi+Ye+n+OLaLf/pOX0Mm4jjF3KtISmk="),
    ("spark-api.xf-yun.com", "/v1.1/chat", DATE, "qGBUjwTmve9TcBXRchFEYvG4WTJyqtDys0lgLnPCQHc="),
    ("spark-api.cn-huabei-1.xf-yun.com", "/v2.1/image", DATE, "t4u6cbNvRFxaCQLv0SQwjhPTJBi9ldfe8w7fCrh/XhI="),
    ("127.0.0.1:8765", "/v3.5/chat", DATE, "nNuSxS2tCWdzlNTJrEWATX/nCn6qMMYhdTRlbVeBC6Q="),
    ("127.0.0.1", "/v3.5/chat", DATE, "Sw6o9tK6wHvJIObXC/F+ZAmnugiUAWjervp5wRp4WPg="),
    ("spark-api.xf-yun.com", "/v4.0/chat", DATE[:-3] + "UTC", "r6AV0Ne+BkrRJnRwBoJvQRcveqe7vku9BWcu3ATPAbY="),
]


@pytest.mark.parametrize(("host", "path", "date", "signature"), VECTORS)
def test_the_signature_is_the_vendors(host: str, path: str, date: str, signature: str) -> None:
    assert sign(host, date, path, SECRET) == signature


@pytest.mark.parametrize(("host", "path", "date", "signature"), [row for row in VECTORS if row[2] == DATE])
def test_the_signature_stands_in_the_signed_url(host: str, path: str, date: str, signature: str) -> None:
    query = parse_qs(urlsplit(signed_url(f"wss://{host}{path}", KEY, SECRET, now=MOMENT)).query)
    assert (query["host"], query["date"]) == ([host], [date])
    assert base64.b64decode(query["authorization"][0]).decode() == origin(signature)


def test_the_signed_url_is_the_vendors() -> None:
    authorization = (
        "YXBpX2tleT0iMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCBhbGdvcml0aG09ImhtYWMtc2hhMjU2IiwgaGVhZGVycz0iaG9zdCBk"
        "YXRlIHJlcXVlc3QtbGluZSIsIHNpZ25hdHVyZT0iUDkvMzdTU0FpZ1pFdGRzZnJSRUVXd01FR3NSV3FKY1loYWRqUDhhd2Ercz0i"
    )
    url = signed_url("wss://spark-api.xf-yun.com/v4.0/chat", KEY, SECRET, now=MOMENT)
    assert url == (
        f"wss://spark-api.xf-yun.com/v4.0/chat?authorization={authorization}"
        "&date=Fri%2C+02+Jan+2026+03%3A04%3A05+GMT&host=spark-api.xf-yun.com"
    )


def test_an_address_written_as_http_becomes_a_websockets() -> None:
    url = urlsplit(signed_url("https://127.0.0.1:8765/v3.5/chat", KEY, SECRET, now=MOMENT))
    assert (url.scheme, parse_qs(url.query)["host"]) == ("wss", ["127.0.0.1:8765"])


# The gateway


def origin(signature: str, *, key: str = f'api_key="{KEY}"', blanks: str = " ") -> str:
    return f'{key}, algorithm="hmac-sha256",{blanks}headers="host date request-line", signature="{signature}"'


def now(zone: str = "GMT", ahead: float = 0.0) -> str:
    return email.utils.formatdate(time.time() + ahead, usegmt=True)[:-3] + zone


def query(authorization: str, date: str, host: str) -> dict[str, str]:
    return {"authorization": base64.b64encode(authorization.encode()).decode(), "date": date, "host": host}


def address(*, host: str = "spark-api.xf-yun.com", zone: str = "GMT", secret: str = SECRET, **form: str) -> str:
    date = now(zone)
    return f"/v4.0/chat?{urlencode(query(origin(sign(host, date, '/v4.0/chat', secret), **form), date, host))}"


TAKEN = {
    "as it is documented": {},
    "nine blanks, as the vendor's Python SDK writes": {"blanks": " " * 9},
    "the gateway's own name for the key": {"key": f'hmac username="{KEY}"'},
    "UTC for GMT": {"zone": "UTC"},
    "a host with a port": {"host": "127.0.0.1:8765"},
    "a host without one": {"host": "127.0.0.1"},
}


@pytest.mark.parametrize("form", TAKEN.values(), ids=TAKEN.keys())
def test_the_gateway_takes_what_clients_are_seen_to_sign(form: dict[str, str]) -> None:
    assert refused(address(**form), KEY, SECRET) is None


def test_the_gateway_takes_blanks_of_a_date_in_either_escape() -> None:
    date = now()
    fields = query(origin(sign("h", date, "/v4.0/chat", SECRET)), date, "h")
    assert refused(f"/v4.0/chat?{urlencode(fields, quote_via=quote)}", KEY, SECRET) is None


def message_of(address: str) -> tuple[int, str]:
    answer = refused(address, KEY, SECRET)
    assert answer is not None
    assert email.utils.parsedate_tz(answer.headers["Date"]) is not None
    return answer.status_code, json.loads(answer.body)["message"]


def test_the_gateway_refuses_in_the_real_ones_words() -> None:
    assert message_of("/v4.0/chat") == (401, UNSIGNED)
    assert message_of(address(secret="another")) == (401, UNEQUAL)
    assert message_of(address(key='api_key="nobody"')) == (401, UNVERIFIABLE)
    assert message_of(f"/v4.0/chat?{urlencode(query('no origin', now(), 'h'))}") == (401, UNVERIFIABLE)
    assert message_of(f"/v4.0/chat?{urlencode({'authorization': '%%%', 'date': now()})}") == (401, UNVERIFIABLE)
    assert message_of("/v4.0/chat?authorization=x") == (403, SKEWED)
    assert message_of(f"/v4.0/chat?{urlencode(query(origin('x'), now(ahead=-400), 'h'))}") == (403, SKEWED)
    assert message_of(f"/v4.0/chat?{urlencode(query(origin('x'), now(ahead=400), 'h'))}") == (403, SKEWED)


def test_the_gateway_heeds_the_path_that_was_signed() -> None:
    assert message_of(address().replace("/v4.0/chat", "/v3.5/chat")) == (401, UNEQUAL)
