"""When certificates end, read from their PEM files: Python's ssl tells of no certificate that it has only loaded.

Of the DER structure only the way to the validity is walked (RFC 5280, section 4.1: Certificate, tbsCertificate, then
version, serial number, signature, issuer, validity).
"""

import re
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALISED_TIME = 0x30, 0xA0, 0x17, 0x18
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def soonest_end_ms(files: Iterable[str | None]) -> int | None:
    """UTC ms at which the first of all certificates in these PEM files ends; None: there is none that can be read.

    None and "" name no file. What cannot be read is left out: whoever needs the file says what is wrong with it.
    """
    ends: list[int] = []
    for name in filter(None, files):
        try:
            text = Path(name).read_text(encoding="utf-8", errors="replace")
            ends += [end_ms(ssl.PEM_cert_to_DER_cert(found)) for found in _PEM.findall(text)]
        except (OSError, ValueError):
            continue
    return min(ends, default=None)


def end_ms(certificate: bytes) -> int:
    """UTC ms of the `notAfter` of a certificate in DER. ValueError: it is none."""
    body, _ = _inside(certificate, 0, _SEQUENCE)
    body, _ = _inside(body, 0, _SEQUENCE)
    at = 0
    if body[:1] == bytes([_VERSION]):
        at = _inside(body, 0, _VERSION)[1]
    for _ in range(3):  # serial number, signature, issuer
        at = _inside(body, at, None)[1]
    validity, _ = _inside(body, at, _SEQUENCE)
    _, at = _inside(validity, 0, None)
    kind = validity[at : at + 1]
    text = _inside(validity, at, None)[0].decode("ascii", "replace")
    if kind == bytes([_UTC_TIME]):
        text = ("19" if text[:2] >= "50" else "20") + text  # RFC 5280, section 4.1.2.5.1
    elif kind != bytes([_GENERALISED_TIME]):
        raise ValueError("not a certificate: no time where one should be")
    return round(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000)


def _inside(data: bytes, at: int, kind: int | None) -> tuple[bytes, int]:
    """The content of the element at `at`, and where it ends. ValueError when it is not of that kind or is cut off."""
    if len(data) < at + 2 or (kind is not None and data[at] != kind):
        raise ValueError("not a certificate")
    length, start = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    end = start + length
    if end > len(data):
        raise ValueError("not a certificate: it is cut off")
    return data[start:end], end
