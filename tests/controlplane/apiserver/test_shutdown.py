"""A server that is told to stop does so at once, although its clients begin new watches while it closes."""

import http.client
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks import ports

TOKEN = "whtoken"


def test_watches_begun_while_it_stops_do_not_hold_it(tmp_path: Path) -> None:
    (port,) = ports.free()
    (tmp_path / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
    config = tmp_path / "config.yaml"
    config.write_text(
        f"data_dir: {tmp_path}\nbind_host: 127.0.0.1\nport: {port}\ntoken_file: {tmp_path}/tokens.csv\n"
        "shutdown_seconds: 30\n"
    )
    server = subprocess.Popen([sys.executable, "-m", "controlplane.apiserver", "--config", str(config)])
    done = threading.Event()
    watched = threading.Event()

    def watch_for_ever() -> None:
        """Like an informer on kept-alive connections: when a watch ends, the next begins at once."""
        while not done.is_set():
            try:
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                while not done.is_set():
                    headers = {"Authorization": f"Bearer {TOKEN}"}
                    link.request("GET", "/api/v1/pods?watch=true&timeoutSeconds=60", headers=headers)
                    reply = link.getresponse()
                    assert reply.status == 200
                    watched.set()
                    reply.read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)

    clients = [threading.Thread(target=watch_for_ever, daemon=True) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        assert watched.wait(30)
        server.send_signal(signal.SIGTERM)
        # A held server would stay for its thirty seconds of patience.
        assert server.wait(timeout=60) == 0
    finally:
        done.set()
        server.kill()
        server.wait(60)
        for client in clients:
            client.join(60)
