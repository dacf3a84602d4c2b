"""The process of a test pod: a small HTTP server that prints its events with times.

Variables control its behaviour: READY_AFTER and EXIT_AFTER (seconds), IGNORE_SIGTERM, SERVES_AFTER_SIGTERM (seconds).
``GET /set?health=<status>`` changes it at any time.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_STARTED = time.monotonic()
_health = 200


def note(event: str, **more: object) -> None:
    print(json.dumps({"event": event, "time": time.time(), **more}), flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        global _health
        path, _, query = self.path.partition("?")
        if path == "/set":
            _health = int(query.removeprefix("health="))
            self.send_response(200)
        elif path == "/health":
            loading = time.monotonic() - _STARTED < float(os.environ.get("READY_AFTER", "0"))
            self.send_response(503 if loading else _health)
        elif path == "/prestop":
            note("prestop")
            self.send_response(200)
        else:
            self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


def on_sigterm(*_: object) -> None:
    note("sigterm")
    if "IGNORE_SIGTERM" not in os.environ:
        threading.Timer(float(os.environ.get("SERVES_AFTER_SIGTERM", "0")), os._exit, [0]).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments, _ = parser.parse_known_args()
    signal.signal(signal.SIGTERM, on_sigterm)
    server = ThreadingHTTPServer((arguments.host, arguments.port), Handler)
    note("started", argv=sys.argv[1:], environment=dict(os.environ), pid=os.getpid())
    if "EXIT_AFTER" in os.environ:
        print("error: will end", flush=True)
        threading.Timer(float(os.environ["EXIT_AFTER"]), os._exit, [3]).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
