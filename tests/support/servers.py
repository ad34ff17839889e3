"""Servers as tests want them, beyond conftest.py's: to be imported as `server`. And an HTTP server of a test's own."""

import http.server
import os
import threading

import pytest

from busybox_image import make_layout, push
from server import Server


def push_busybox(running, directory, name="busybox:1"):
    push(make_layout(str(directory)), int(running.url.rsplit(":", 1)[1]), name)


@pytest.fixture(scope="module")
def busybox_server(tmp_path_factory):
    """With the image busybox:1."""
    with Server() as running:
        push_busybox(running, tmp_path_factory.mktemp("layout"))
        yield running


@pytest.fixture(scope="module")
def building_server():
    """With the base image busybox, for builds."""
    if os.geteuid() != 0:
        pytest.skip("building needs root")
    with Server() as running:
        running.watari("base", "build", "busybox", "--from", "busybox")
        yield running


class HttpServer:
    """`with HttpServer(Handler) as web:` answers on a free port, each request on a thread of its own."""

    def __init__(self, handler):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.host = f"127.0.0.1:{self.http.server_port}"
        self.url = f"http://{self.host}/"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
