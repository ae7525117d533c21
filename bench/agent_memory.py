"""What the agent costs a machine, side by side with Debian's prometheus-node-exporter.

    python bench/agent_memory.py [--seconds 60 | --quick] [--json]

Starts a private mosquitto, the agent as a school machine would have it (an environment that holds only the agent's own
dependencies), and the exporter, which is scraped every 15 s as Prometheus does by default; then samples resident and
proportional memory and processor time. Prints a table. Exit code 0 when both could be measured, 3 when not.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from caretaker_contract import messages, signing, topics
from caretaker_contract.messages import Command, Outcome, Report, Verb
from caretaker_contract.topics import Address, Kind

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from servers import free_port, mosquitto, program  # noqa: E402 (tests/ is put on the path just above)

NEEDS = ("msgspec", "mqtt5", "nacl", "cffi", "_cffi_backend", "jeepney")
SCRAPE_S = 15.0
SETTINGS = """\
school = "bench"
device = "pc-1"
room = "ict1"
device_class = "desktop"
state_dir = "state"
command_keys = ["{key}"]
[broker]
host = "127.0.0.1"
port = {port}
"""


class Sample:
    """Memory and processor time of one process, from /proc."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.rss_kb: list[int] = []
        self.pss_kb: list[int] = []
        self.start_cpu_s = self.cpu_s()
        self.start_s = time.monotonic()

    def cpu_s(self) -> float:
        """Seconds on a processor, of all threads (schedstat counts in nanoseconds, stat only in hundredths)."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def take(self) -> None:
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "Rss":
                self.rss_kb.append(int(rest.split()[0]))
            elif name == "Pss":
                self.pss_kb.append(int(rest.split()[0]))

    def cpu_percent(self) -> float:
        return 100 * (self.cpu_s() - self.start_cpu_s) / (time.monotonic() - self.start_s)


def agents_own_python(folder: Path) -> Path:
    """A virtual environment with what the extra `agent` installs, linked from this one, and nothing else."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    [packages] = (folder / "lib").glob("python*/site-packages")
    for name in NEEDS:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise SystemExit(f"{name} is not installed here: pip install -e '.[agent]'")
        origin = Path(found.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (packages / source.name).symlink_to(source)
    (packages / "caretaker.pth").write_text(f"{ROOT / 'agents'}\n")
    return python


def scrape(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        reply.read()


def until_answers(port: int) -> None:
    for _ in range(100):
        try:
            scrape(port)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("prometheus-node-exporter does not answer")


class Listener:
    """Stands in for the collector: listens to everything from the start, and can send one command."""

    def __init__(self, port: int) -> None:
        import paho.mqtt.client as mqtt

        self.device = Address("bench", "pc-1")
        self.reports = 0
        self.steps: list[str] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(topic, 1) for topic in topics.subscriptions()])
        self._client.loop_start()

    def _heard(self, client: Any, userdata: Any, message: Any) -> None:
        _, kind = topics.parse(message.topic)
        heard = messages.decode(kind, message.payload)
        self.reports += isinstance(heard, Report)
        if isinstance(heard, Outcome):
            self.steps.append(heard.step.value)

    def command(self, key: SigningKey) -> str:
        """Make the agent load its cryptography: what it weighs from its first command on. Returns the last step."""
        now_ms = time.time_ns() // 1_000_000
        command = Command(
            id=os.urandom(16).hex(),
            device=str(self.device),
            verb=Verb.WARN,
            issued_ms=now_ms,
            expires_ms=now_ms + 60_000,
        )
        self._client.publish(self.device.topic(Kind.COMMAND), signing.sign(command, key), qos=1).wait_for_publish(5)
        time.sleep(2)
        return self.steps[-1] if self.steps else "no answer"

    def stop(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure")
    parser.add_argument("--quick", action="store_true", help="20 seconds")
    parser.add_argument("--json", action="store_true", help="one JSON line too")
    chosen = parser.parse_args()
    seconds = 20.0 if chosen.quick else chosen.seconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="caretaker-bench-")))
        broker = stack.enter_context(mosquitto())
        key = signing.new_key()
        listener = Listener(broker.port)
        stack.callback(listener.stop)
        (folder / "agent.toml").write_text(SETTINGS.format(port=broker.port, key=signing.public_text(key)))
        python = agents_own_python(folder / "python")
        command = [str(python), "-m", "caretaker_agent", "run", "--config", str(folder / "agent.toml")]
        once = [str(python), "-m", "caretaker_agent", "once", "--config", str(folder / "agent.toml")]
        subprocess.run(once, check=True, capture_output=True)  # byte code is compiled, as after any installation
        agent = subprocess.Popen(command)
        stack.callback(stop, agent)
        port = free_port()
        exporter = subprocess.Popen(
            [
                program("prometheus-node-exporter", "prometheus-node-exporter"),
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ],
            stderr=subprocess.DEVNULL,
        )
        stack.callback(stop, exporter)
        until_answers(port)
        time.sleep(3)
        samples = [Sample("caretaker-agent", agent.pid), Sample("prometheus-node-exporter", exporter.pid)]
        end_s, next_scrape_s = time.monotonic() + seconds, 0.0
        while (now_s := time.monotonic()) < end_s:
            if now_s >= next_scrape_s:
                scrape(port)
                next_scrape_s = now_s + SCRAPE_S
            for sample in samples:
                sample.take()
            time.sleep(min(1.0, max(0.0, end_s - time.monotonic())))
        if agent.poll() is not None or exporter.poll() is not None or not listener.reports:
            print("one of the two ended early, or the agent did not report: cannot tell", file=sys.stderr)
            return 3
        ours, theirs = samples
        print(f"over {seconds:.0f} s, poll every 15 s, heartbeat every 300 s, plain connection on loopback")
        print(f"{'':<28}{'resident MB':>12}{'prop. MB':>10}{'% of a core':>13}")
        for sample in samples:
            print(
                f"{sample.name:<28}{peak(sample.rss_kb):>12.1f}{peak(sample.pss_kb):>10.1f}{sample.cpu_percent():>13.3f}"
            )
        rss, pss = peak(ours.rss_kb) / peak(theirs.rss_kb), peak(ours.pss_kb) / peak(theirs.pss_kb)
        cpu = ours.cpu_percent() / theirs.cpu_percent() if theirs.cpu_percent() else float("nan")
        print(f"{'ratio':<28}{rss:>12.2f}{pss:>10.2f}{cpu:>13.2f}")
        figures = {
            sample.name: {
                "resident_mb": round(peak(sample.rss_kb), 1),
                "proportional_mb": round(peak(sample.pss_kb), 1),
                "core_percent": round(sample.cpu_percent(), 4),
            }
            for sample in samples
        }
        step = listener.command(key)
        ours.take()
        print(
            f"{'after its first command':<28}{ours.rss_kb[-1] / 1024:>12.1f}{ours.pss_kb[-1] / 1024:>10.1f}   ({step})"
        )
        if chosen.json:
            print(json.dumps({"bench": "agent_memory", "seconds": seconds, **figures}))
    return 0


def peak(kilobytes: list[int]) -> float:
    """Megabytes (2**20 bytes) at the highest sample."""
    return max(kilobytes) / 1024


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that this bench has started."""
    if process.poll() is None:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    sys.exit(main())
