"""The pack's HTML as a tagged PDF (PDF/UA-1), drawn by WeasyPrint.

The document may fetch nothing: what is not inlined as data is refused. The same HTML makes the same bytes.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import Any


def pdf_bytes(html: str) -> bytes:
    """The HTML as PDF/UA-1. Raises ValueError if the document refers to something outside itself."""
    import weasyprint
    from weasyprint.text.fonts import FontConfiguration

    for name in ("weasyprint", "fontTools"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    refused: list[str] = []

    class DataOnly(weasyprint.URLFetcher):  # type: ignore[misc]
        """Answers data: addresses, which are inside the document, and nothing else."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            if not url.startswith("data:"):
                refused.append(url)
                raise ValueError(f"refused: {url[:80]}")
            return super().fetch(url, headers)

    document = weasyprint.HTML(string=html, url_fetcher=DataOnly(), base_url=None)
    drawn: bytes = document.write_pdf(
        pdf_variant="pdf/ua-1",
        pdf_identifier=sha256(html.encode()).digest()[:16],
        font_config=FontConfiguration(),
        finisher=_finish,
    )
    if refused:
        raise ValueError(f"the review refers to something outside itself: {refused[0][:200]}")
    return drawn


def _finish(document: Any, pdf: Any) -> None:
    """Gives each table header its scope, which WeasyPrint leaves out: the first row heads columns, others head rows."""
    for thing in pdf.objects:
        if isinstance(thing, dict) and thing.get("S") == "/TH" and "ID" in thing:
            row = str(getattr(thing["ID"], "string", "0-0-0")).split("-")[1]
            thing["A"]["Scope"] = "/Column" if row == "0" else "/Row"
