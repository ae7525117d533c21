"""A room's link on paper: a page of A4 with a QR code, for the wall beside the door.

The code is drawn from segno's matrix as one path: it needs no style, so it is the same in a page of the desk under its
strict content security policy, in a file, and in a PDF.
"""

from html import escape
from typing import Final

import segno

QUIET: Final = 4
"""Light modules round a code, by the standard (ISO/IEC 18004)."""

_STYLE: Final = """
@page { size: A4; margin: 20mm }
html { font: 16pt/1.45 "Liberation Sans", "DejaVu Sans", Arial, sans-serif; color: #000; background: #fff }
body { margin: 0 auto; padding: 1rem; max-width: 170mm; text-align: center }
h1 { font-size: 28pt; line-height: 1.2; margin: 0 0 4mm; text-wrap: balance }
h2 { font-size: 17pt; font-weight: normal; margin: 0 0 8mm; color: #333 }
svg { width: 95mm; max-width: 100%; height: auto }
p { margin: 6mm auto 0; max-width: 150mm }
.link { font: 11pt/1.4 "Liberation Mono", "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; color: #333 }
bdi, h1, h2 { overflow-wrap: anywhere }
"""


def matrix(link: str) -> tuple[bytes, ...]:
    """The modules of a link's code, row by row: 1 is dark. Error correction Q: a quarter of it may be torn or dirty."""
    return tuple(bytes(row) for row in segno.make(link, error="q", micro=False).matrix)


def qr_svg(link: str, title: str) -> str:
    """The code as an inline picture with a text in place of it."""
    rows = matrix(link)
    size = len(rows) + 2 * QUIET
    runs = []
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end]:
                end += 1
            if end > x:
                runs.append(f"M{x + QUIET} {y + QUIET}h{end - x}v1h-{end - x}z")
            x = end + 1
    return (
        f'<svg viewBox="0 0 {size} {size}" role="img" aria-label="{escape(title)}" shape-rendering="crispEdges">'
        f'<rect width="{size}" height="{size}" fill="#fff"/><path fill="#000" d="{"".join(runs)}"/></svg>'
    )


def heading(room: str) -> str:
    """What stands on top."""
    return f"Still working in {room}?"


def sentences(stay: str) -> tuple[str, str]:
    """Two sentences for teachers. `stay`: "an hour"."""
    return (
        "Scan the code, or type the address into any browser, and press the button: the computers of this room stay "
        f"on for {stay}, and you can ask again.",
        "Nobody has to sign in, nothing is kept about you, and nothing is switched off by it.",
    )


def sheet(link: str, room: str, school: str, stay: str) -> str:
    """The page as an HTML file of its own. All arguments are text, and escaped here."""
    first, second = sentences(stay)
    title = escape(heading(room))
    return (
        f'<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{title}</h1><h2><bdi>{escape(school)}</bdi></h2>\n"
        f"{qr_svg(link, f'QR code of {link}')}\n"
        f'<p>{escape(first)}</p>\n<p>{escape(second)}</p>\n<p class="link">{escape(link)}</p></main></body></html>\n'
    )


def sheet_pdf(link: str, room: str, school: str, stay: str) -> bytes:
    """The page as a tagged PDF."""
    import weasyprint  # half a second and Pango: only who prints pays for it

    made: bytes = weasyprint.HTML(string=sheet(link, room, school, stay)).write_pdf(pdf_variant="pdf/ua-1")
    return made
