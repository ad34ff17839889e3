#!/usr/bin/env python3
"""Open-loop HTTP load: requests start when they are due, whether or not earlier ones have come back, and nothing is retried.

    tests/support/load.py http://127.0.0.1:8080/version --host api.localhost --rate 200 [--duration 10] [--new-every 10]

Without --duration it runs until SIGTERM or SIGINT. Ends with one JSON line:
{"requests": n, "failed": n, "failures": {"503": 1, "ConnectionResetError": 2}, "first_failures": […], "p50_ms": x, "p99_ms": x, "max_ms": x, "bodies": {…}}
A request fails when no answer comes, when it is cut short, or when its status is not 2xx. Standard library only.
--look: as browsers and HTTP libraries do, looks first whether the other end has closed the connection meanwhile, and opens a new one.
"""
import argparse
import collections
import http.client
import json
import select
import signal
import sys
import threading
import time
import urllib.parse


class Load:
    def __init__(self, url, rate, host=None, workers=32, new_every=10, method="GET", body=None, track_bodies=False, look=False):
        parts = urllib.parse.urlsplit(url)
        self.address, self.port = parts.hostname, parts.port or 80
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.headers = {"Host": host} if host else {}
        self.interval, self.new_every = 1.0 / rate, new_every
        self.method, self.body, self.track_bodies, self.look = method, body, track_bodies, look
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.sent = 0
        self.latencies, self.failures, self.bodies = [], collections.Counter(), collections.Counter()
        self.first_failures = []
        self.failed_requests = []  # (when its connection was opened, when it began, when it failed, kind), monotonic seconds
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]

    def start(self):
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self.result()

    def seen(self, body, at):
        """For those who want to know when: called under the lock with every good answer."""

    def result(self):
        with self.lock:
            ordered = sorted(self.latencies)
            at = lambda share: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None
            return {
                "requests": len(ordered) + sum(self.failures.values()), "failed": sum(self.failures.values()),
                "failures": dict(self.failures), "first_failures": self.first_failures,
                "p50_ms": at(0.50), "p99_ms": at(0.99), "max_ms": at(1.0), "bodies": dict(self.bodies),
            }

    def _work(self):
        connection = None
        while not self.stopping.is_set():
            with self.lock:
                number = self.sent
                self.sent += 1
            delay = self.began + number * self.interval - time.monotonic()
            if delay > 0 and self.stopping.wait(delay):
                return
            fresh = self.new_every and number % self.new_every == 0
            closed = self.look and connection and connection.sock and select.select([connection.sock], [], [], 0)[0]
            if connection and (fresh or closed):
                connection.close()
                connection = None
            connection = self._request(connection)

    def _request(self, connection):
        begin = opened = time.monotonic()
        kind = None
        try:
            if connection is None:
                connection = http.client.HTTPConnection(self.address, self.port, timeout=30)
                connection.opened = begin
            opened = connection.opened
            connection.request(self.method, self.target, body=self.body, headers=self.headers)
            answer = connection.getresponse()
            body = answer.read()
            if not 200 <= answer.status < 300:
                kind, detail = str(answer.status), body[:120].decode(errors="replace")
            if answer.will_close:
                connection.close()
                connection = None
        except Exception as error:  # every kind counts as a failed request and is named in the result
            kind, detail = type(error).__name__, str(error)
            if connection:
                connection.close()
            connection = None
        end = time.monotonic()
        with self.lock:
            if kind is None:
                self.latencies.append(end - begin)
                if self.track_bodies:
                    text = body[:80].decode(errors="replace").strip()
                    self.bodies[text] += 1
                    self.seen(text, time.time())
            else:
                self.failures[kind] += 1
                self.failed_requests.append((opened, begin, end, f"{kind} {detail}"))
                if len(self.first_failures) < 10:
                    self.first_failures.append({"at_s": round(end - self.began, 3), "took_s": round(end - begin, 3), "kind": kind, "detail": detail})
        return connection


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--host", help="Host header")
    parser.add_argument("--rate", type=float, default=100, help="requests a second (default 100)")
    parser.add_argument("--duration", type=float, help="seconds; default: until SIGTERM")
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--new-every", type=int, default=10, help="every nth request opens a new connection; 0: never")
    parser.add_argument("--look", action="store_true", help="look whether an idle connection was closed before using it")
    parser.add_argument("--track-bodies", action="store_true", help="count the answers by their first 80 bytes")
    options = parser.parse_args()
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    load = Load(options.url, options.rate, options.host, options.workers, options.new_every,
                track_bodies=options.track_bodies, look=options.look).start()
    done.wait(options.duration)
    print(json.dumps(load.stop()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
