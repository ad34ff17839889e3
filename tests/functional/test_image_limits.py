"""What the server prunes by itself: what nothing needs and is old."""
import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import layer_tar, make_layout, push  # noqa: E402
from server import Server  # noqa: E402


def age(server, hours, part="images"):
    """Everything in the image store was last used `hours` ago."""
    then = time.time() - hours * 3600
    for path, _, files in os.walk(server.root / part):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
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


@contextlib.contextmanager
def server_on_a_small_disk(megabytes):
    server = Server("--images-min-free", "0")
    server.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", server.root], check=True)
    try:
        with server:
            yield server
    finally:
        subprocess.run(["umount", "-l", server.root], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: mounting needs root")
def test_a_full_disk_is_named_and_leaves_the_store_whole(tmp_path):
    """Nothing that failed keeps the space that it took, and the server starts again on a full disk."""
    with server_on_a_small_disk(60) as server:
        build = lambda text, tag: ((tmp_path / "Dockerfile").write_text(text), server.watari("build", "-t", tag, tmp_path, check=False))[1]  # noqa: E731
        server.watari("base", "build", "busybox", "--from", "busybox")
        assert build("FROM busybox\nRUN echo 1 > /file\n", "before").returncode == 0
        refused = build("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=100\n", "big")
        assert refused.returncode == 1 and "the server's disk is full" in refused.stderr
        upload = requests.post(f"{server.url}/v2/web/blobs/uploads/", timeout=10).headers["Location"]
        pushed = requests.patch(server.url + upload, data=b"x" * (80 << 20), timeout=30)
        assert pushed.status_code == 507 and "No space left" in pushed.text
        assert requests.get(server.url + upload, timeout=10).status_code == 404
        (tmp_path / "huge").write_bytes(os.urandom(1 << 20) * 80)
        refused = build("FROM busybox\nCOPY huge /\n", "huge")
        assert refused.returncode == 1 and "No space left" in refused.stderr
        (tmp_path / "huge").unlink()
        assert build("FROM busybox\nRUN echo 2 > /file\n", "after").returncode == 0
        with contextlib.suppress(OSError), open(server.root / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(65536))
        with open(server.root / "filler", "r+b") as filler:  # a real disk keeps some for root
            filler.truncate(os.path.getsize(server.root / "filler") - 65536)
        server.restart()
        (server.root / "filler").unlink()
        for tag in ("before", "after"):
            manifest = requests.get(f"{server.url}/v2/{tag}/manifests/latest", timeout=10).json()
            for layer in manifest["layers"]:
                blob = requests.get(f"{server.url}/v2/{tag}/blobs/{layer['digest']}", timeout=10).content
                assert "sha256:" + hashlib.sha256(blob).hexdigest() == layer["digest"]
        assert "CACHED" in build("FROM busybox\nRUN echo 1 > /file\n", "before").stderr


def entries(server):
    return {path for path in (server.root / "images/cache").glob("??/*.json")}


def test_entries_of_the_build_cache_go_with_their_layers_and_only_when_they_are_old(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: building needs root")
    (tmp_path / "file").write_text("a")

    def build(server, tag, text):
        (tmp_path / "Dockerfile").write_text(f"FROM busybox\n{text}")
        return server.watari("build", "--explain", "-t", tag, tmp_path).stdout

    with Server("--images-unused", "48", "--images-min-free", "0") as server:
        server.watari("base", "build", "busybox", "--from", "busybox")
        build(server, "kept", "COPY file /kept\n")
        kept = entries(server)
        build(server, "lost", "COPY file /lost\nRUN true\n")
        lost = entries(server) - kept
        assert len(kept) == 1 and len(lost) == 2
        server.watari("images", "rm", "lost")
        age(server, 40)
        assert server.own("PruneImages", graceSeconds=48 * 3600)["cacheEntries"] == 0 and entries(server) == kept | lost
        age(server, 50)
        told = server.own("PruneImages", graceSeconds=48 * 3600, dryRun=True)
        assert entries(server) == kept | lost and told["cacheEntries"] >= 1
        server.restart()  # prunes when it starts
        deadline = time.monotonic() + 30
        while entries(server) != kept and time.monotonic() < deadline:
            time.sleep(0.05)
        assert entries(server) == kept
        # What is tagged still comes from the cache; what went is made again.
        assert "CACHED" in build(server, "kept", "COPY file /kept\n")
        assert "CACHED" not in build(server, "lost", "COPY file /lost\nRUN true\n")
        assert len(entries(server)) == 3


def test_prunes_beside_builds_break_none(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: building needs root")
    with Server() as server:
        server.watari("base", "build", "busybox", "--from", "busybox")
        stop = threading.Event()

        def prune():
            while not stop.is_set():
                age(server, 24 * 40, "images/cache")  # no entry is spared for being young
                server.own("PruneImages", graceSeconds=3600)

        thread = threading.Thread(target=prune)
        thread.start()
        try:
            for number in range(12):
                (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN echo {number % 3} > /a\nRUN echo {number} > /b\nRUN cat /a /b\n")
                server.watari("build", "-t", "web", tmp_path)
        finally:
            stop.set()
            thread.join()
        done = server.watari("build", "--no-cache", tmp_path)
        assert "11" in done.stderr
