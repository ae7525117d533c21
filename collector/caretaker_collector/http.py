"""All that the collector serves over HTTP, on one port, and who stands in front of what.

/healthz, /metrics       how the collector itself is doing; open
/api/1/...               with tokens (api/)
/stay/...                the links of rooms, where settings allow them (api/stay_pages.py)
everything else          the desk, behind its guard (desk/served.py), where settings have it on
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector as PrometheusCollector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from caretaker_collector.acts.port import site_of
from caretaker_collector.api.doc import document
from caretaker_collector.api.routes import Api, clocks_by, refused_by_router
from caretaker_collector.api.stay_pages import StayPages
from caretaker_collector.desk.served import DeskServed
from caretaker_collector.own_figures import PARTS
from caretaker_collector.version import VERSION
from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import PowerState
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.peers import Peers

if TYPE_CHECKING:
    from caretaker_collector.app import Collector

OPEN, FOLDERS = frozenset({"/healthz", "/metrics"}), ("/api/", "/stay/")
_COUNTERS = {
    "received": "Messages read from the journal by the core.",
    "reports": "Different reports that came.",
    "outcomes": "Different outcomes of commands that came.",
    "duplicates": "Numbered messages that had come before.",
    "quarantined": "Messages put aside because they break the contract or the store refuses them.",
    "dropped": "Numbered messages that their device no longer has.",
    "gaps_closed": "Times that a device's missing numbers all came.",
    "replays_asked": "Requests to a device to send missing numbers again.",
    "commands_sent": "Commands sent to machines (without replay requests).",
    "commands_done": "Commands that machines carried out.",
    "commands_vetoed": "Commands that somebody at the machine stopped.",
    "commands_refused": "Commands that the machine refused.",
    "commands_failed": "Commands that went wrong on the machine.",
    "commands_unanswered": "Commands whose time ran out, unsent or without an answer.",
    "stays_asked": "Times that somebody at a machine asked that its room be kept on.",
    "points_written": "Points that the store has taken.",
}


class _Own(PrometheusCollector):
    """Reads the running collector at each scrape. Bounded labels: never a device."""

    def __init__(self, collector: "Collector") -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        """All families."""
        collector, memory = self._collector, self._collector.memory
        yield InfoMetricFamily("caretaker_build", "Version of the collector.", {"version": VERSION})
        for name, meaning in _COUNTERS.items():
            yield CounterMetricFamily(f"caretaker_{name}", meaning, memory.counts[name])
        problems = collector.problems()
        figures = collector.figures.gather(collector.clock.now_ms())
        up = GaugeMetricFamily("caretaker_part_up", "1 while a part of the collector works.", labels=["part"])
        for part in PARTS:
            up.add_metric([part], 0.0 if part in problems else 1.0)
        yield up
        lag = GaugeMetricFamily(
            "caretaker_journal_lag_records", "Records that a reader has not dealt with.", labels=["reader"]
        )
        lag.add_metric(["core"], figures.core_lag)
        lag.add_metric(["recorder"], figures.recorder_lag)
        yield lag
        yield GaugeMetricFamily(
            "caretaker_behind_seconds", "Age of the newest message the core has read.", figures.behind_s
        )
        yield GaugeMetricFamily("caretaker_missing_messages", "Numbers asked for again.", figures.missing)
        size = GaugeMetricFamily("caretaker_file_bytes", "Size on disk of what the collector keeps.", labels=["file"])
        size.add_metric(["journal"], figures.journal_bytes)
        size.add_metric(["state"], figures.state_bytes)
        yield size
        tellings = GaugeMetricFamily("caretaker_tellings", "Messages to people by status.", labels=["status"])
        tellings.add_metric(["waiting"], figures.tellings_waiting)
        tellings.add_metric(["failed"], figures.tellings_failed)
        yield tellings
        if figures.certificate_days is not None:
            yield GaugeMetricFamily(
                "caretaker_certificate_left_seconds",
                "Until the first of the certificates that settings name ends.",
                figures.certificate_days * 86_400,
            )
        ticked = GaugeMetricFamily("caretaker_rules_last_run_timestamp_seconds", "When the rules last ran.")
        ticked.add_metric([], collector.core.ticked_ms / 1000)
        yield ticked
        states = GaugeMetricFamily("caretaker_devices", "Devices by power state.", labels=["state"])
        tally = dict.fromkeys(PowerState, 0)
        for state in fleet_states(collector).values():
            tally[state] += 1
        for state, number in tally.items():
            states.add_metric([state.value], number)
        yield states


def fleet_states(collector: "Collector") -> dict[Address, PowerState]:
    """Power state of every device: those of the register, and those only heard of."""
    states = dict.fromkeys(collector.estate.devices, PowerState.UNKNOWN)
    states.update((address, entry.tracked.presence.state) for address, entry in collector.memory.entries.items())
    return states


def registry_of(collector: "Collector") -> CollectorRegistry:
    """What /metrics shows of a collector."""
    registry = CollectorRegistry()
    registry.register(_Own(collector))
    return registry


def application(collector: "Collector") -> Starlette:
    """What is served beside the desk."""
    registry = registry_of(collector)

    async def healthz(_: Request) -> Response:
        problems = collector.problems()
        body = {
            "status": "failing" if problems else "ok",
            "problems": problems,
            "lag_records": collector.lag,
            "behind_s": collector.memory.behind_s,
            "devices": len(collector.memory.entries),
            "version": VERSION,
        }
        return JSONResponse(body, status_code=503 if problems else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    clocks = clocks_by(collector.estate, collector.alerts.clock)
    api = Api(collector.db, collector.estate, collector.clock.now_ms, clocks, document(), site_of(collector))
    routes: list[BaseRoute] = [Route("/healthz", healthz), Route("/metrics", metrics), *api.routes()]
    routes += StayPages(collector).routes() if collector.settings.http.stay_links else []
    return Starlette(routes=routes, exception_handlers={HTTPException: refused_by_router, Exception: refused_by_router})


def with_desk(others: ASGIApp, desk: ASGIApp) -> ASGIApp:
    """`desk` answers at every address that is no other's, also where those have nothing."""

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        ours = scope["type"] != "http" or path in OPEN or path.startswith(FOLDERS)
        await (others if ours else desk)(scope, receive, send)

    return choose


def _no_fault(record: logging.LogRecord) -> bool:
    """Pages that were open as the collector ended are no defect of theirs."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the command that runs us decides when to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on; ConfigError when it is taken."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ConfigError([f"[http]  {host}:{port} cannot be used: {error.strerror}; choose another port"]) from error


async def serve(collector: "Collector", listening: socket.socket) -> None:
    """Serve until cancelled."""
    desk = DeskServed(collector) if collector.settings.desk.on else None
    # Peers, not uvicorn, reads what a web server in front passes on: the direct peer has to stay known (peers.py).
    app: ASGIApp = application(collector)
    app = Peers(with_desk(app, desk.app) if desk is not None else app, collector.settings.desk.proxies)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", proxy_headers=False, server_header=False
    )
    logging.getLogger("uvicorn.error").addFilter(_no_fault)
    try:
        await _Server(config).serve(sockets=[listening])
    finally:
        if desk is not None:
            desk.close()
