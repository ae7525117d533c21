"""GET /events?topic=...: says when a page is out of date. What is new is not in it; the page asks for itself again."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from caretaker_dashboards.desk.ports import Data, NotThere
from caretaker_dashboards.desk.shell import viewer_of

MOST_A_SESSION: Final = 12
"""Open streams of one session: more pages than that are not in sight at the same time."""
MOST: Final = 2_000
"""Open streams in all, so that memory is bounded."""
KEEP_ALIVE_S: Final = 20.0
LONGEST_S: Final = 300.0
"""Then the browser asks again by itself, and the guard looks whether its session still stands."""
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Events:
    """The open streams."""

    def __init__(
        self,
        data: Data,
        stands: Callable[[Request], bool] = lambda _: True,
        keep_alive_s: float = KEEP_ALIVE_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._data = data
        self._stands = stands  # whether the session of a request has not ended
        self._keep_alive_s = keep_alive_s
        self._longest_s = longest_s
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Streams that are open now."""
        return self._open.total()

    async def endpoint(self, request: Request) -> Response:
        """The stream, or why there is none."""
        viewer = viewer_of(request)
        topic = request.query_params.get("topic", "")[:200]
        if viewer is None or not topic:
            return PlainTextResponse("There is nothing to be told of.", status_code=404, headers=HEADERS)
        session = viewer.csrf  # one for each session
        if self._open[session] >= MOST_A_SESSION or self._open.total() >= MOST:
            headers = {**HEADERS, "Retry-After": "60"}
            return PlainTextResponse("Too many pages are live; this one looks each minute.", 429, headers)
        marks = self._data.changes(viewer.who, topic)
        try:
            first = await anext(marks)
        except (NotThere, StopAsyncIteration):
            return PlainTextResponse("There is nothing to be told of.", status_code=404, headers=HEADERS)
        stream = self._stream(request, session, marks, first)
        return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)

    async def _stream(
        self, request: Request, session: str, marks: AsyncIterator[str], first: str
    ) -> AsyncIterator[str]:
        """Marks as they come, comments between them so that no proxy takes the line for dead."""
        self._open[session] += 1
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._longest_s
        following: asyncio.Future[str] | None = None
        try:
            yield f"retry: 5000\nevent: mark\ndata: {_line(first)}\n\n"
            while loop.time() < end_s and self._stands(request):
                if following is None:
                    following = asyncio.ensure_future(anext(marks))
                done, _ = await asyncio.wait({following}, timeout=min(self._keep_alive_s, end_s - loop.time()))
                if not done:
                    yield ": still here\n\n"
                    continue
                mark, following = following, None
                yield f"event: mark\ndata: {_line(mark.result())}\n\n"
        except (StopAsyncIteration, NotThere):
            return  # the topic is gone; the page finds out when it asks
        finally:
            self._open[session] -= 1
            self._open += Counter()  # sessions without a stream are forgotten
            if following is not None:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, NotThere):
                    await following
            close = getattr(marks, "aclose", None)
            if close is not None:
                await close()


def _line(mark: str) -> str:
    """A mark on one line, or it could forge an event."""
    return " ".join(mark.split())
