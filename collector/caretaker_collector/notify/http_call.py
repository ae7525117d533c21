"""One HTTP request, bounded in time and size, and what its failure means: repeat, or never again.

2xx                          done
401, 403, 407                Unavailable: a key that a person can put right while the message waits
408, 425, 429, 5xx, silence  Unavailable; with Retry-After: not before that
3xx                          Rejected: a redirect is not followed, it could lead anywhere with our key
other 4xx                    Rejected
"""

from collections.abc import Mapping

import aiohttp
from msgspec import Struct

from caretaker_collector.notify.wording import one_line
from caretaker_contract.errors import Rejected, Unavailable

CONNECT_WITHIN_S, ANSWER_WITHIN_S = 10.0, 30.0
LARGEST_ANSWER = 2_000_000
LONGEST_WAIT_S = 3_600.0
_RETRY = {401, 403, 407, 408, 425, 429}


class Later(Unavailable):
    """Not now; the other side said after how many seconds."""

    def __init__(self, text: str, after_s: float) -> None:
        super().__init__(text)
        self.after_s = after_s


class Answer(Struct, frozen=True):
    """What came back."""

    status: int
    body: bytes


class Http:
    """A session that is opened when it is first needed (it belongs to the loop that runs then)."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer if it is a 2xx; Unavailable, Later or Rejected else. Neither key nor address is in the error."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S)
            self._session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "caretaker"}, trust_env=False)
        try:
            async with self._session.request(
                method, url, data=body, headers=dict(headers or {}), allow_redirects=False
            ) as response:
                content = await _bounded(response)
                return _judged(response, content)
        except TimeoutError:
            raise Unavailable(f"no answer within {ANSWER_WITHIN_S:.0f} s") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError):
            raise Rejected("its address is no http or https address") from None
        except aiohttp.ClientConnectorCertificateError:
            raise Unavailable("its certificate is not trusted") from None
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(
                f"cannot be reached: {error.os_error.strerror or type(error.os_error).__name__}"
            ) from None
        except aiohttp.ClientError as error:
            raise Unavailable(f"the connection broke: {type(error).__name__}") from None

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(65_536):
        size += len(part)
        if size > LARGEST_ANSWER:
            response.close()
            raise Unavailable(f"its answer is larger than {LARGEST_ANSWER // 1_000_000} MB")
        parts.append(part)
    return b"".join(parts)


def _judged(response: aiohttp.ClientResponse, content: bytes) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer(status, content)
    said = one_line(content[:400].decode("utf-8", "replace"), 120)
    text = f"it answered {status}" + (f": {said}" if said else "")
    if status in (401, 403, 407):
        text += "; look at its token or password"
    if status in _RETRY or status >= 500:
        after_s = _retry_after(response.headers.get("Retry-After", ""))
        raise Later(text, after_s) if after_s else Unavailable(text)
    raise Rejected(text)


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After; 0 when there is none that we understand (a date is not looked at)."""
    return min(float(text), LONGEST_WAIT_S) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
