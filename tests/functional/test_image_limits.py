"""What the server prunes by itself: what nothing needs and is old."""
import json
import os
import pathlib
import sys
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import layer_tar, make_layout, push  # noqa: E402
from server import Server  # noqa: E402


def age(server, hours):
    """Everything in the image store was last used `hours` ago."""
    then = time.time() - hours * 3600
    for path, _, files in os.walk(server.root / "images"):
        for name in files:
            os.utime(pathlib.Path(path) / name, (then, then))


def test_old_images_that_nothing_needs_go_by_themselves(tmp_path):
    with Server("--images-unused", "48", "--images-min-free", "0") as server:
        port = int(server.url.rsplit(":", 1)[1])
        first, second = (make_layout(str(tmp_path / name), layers=[layer_tar({name: name.encode() * 1000}, applets=False)]) for name in ("first", "second"))
        push(first, port, "web:1")
        lost = requests.get(f"{server.url}/v2/web/manifests/1", timeout=10)
        push(second, port, "web:1")
        kept = requests.get(f"{server.url}/v2/web/manifests/1", timeout=10)
        layer = lost.json()["layers"][0]["digest"].removeprefix("sha256:")
        blobs = server.root / "images/blobs/sha256"
        age(server, 40)
        server.restart()  # prunes when it starts
        assert (blobs / layer).exists()
        age(server, 50)
        server.restart()
        deadline = time.monotonic() + 30
        while (blobs / layer).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not (blobs / layer).exists()
        assert requests.get(f"{server.url}/v2/web/manifests/1", timeout=10).content == kept.content
        assert requests.get(f"{server.url}/v2/web/blobs/{json.loads(kept.content)['layers'][0]['digest']}", timeout=10).status_code == 200
