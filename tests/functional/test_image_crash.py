"""kill -9 of the server at random points of pushes, of prunes and of both: the image store is whole every time.

What holds after every kill: every blob's bytes hash to its name, every tag leads to a manifest all of whose blobs are there, nothing is left of
what was half done, and the same push and the same prune succeed afterwards.
"""
import hashlib
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import layer_tar, make_layout, push  # noqa: E402
from server import Server  # noqa: E402


def port_of(server):
    return int(server.url.rsplit(":", 1)[1])


def prune(server):
    """PruneImages with no grace: everything that no tag leads to goes. (`watari images prune` keeps an hour at least.)"""
    return server.own("PruneImages", graceSeconds=0)


def check_store(server):
    images = server.root / "images"
    for blob in (images / "blobs/sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    assert not list((images / "tmp").iterdir())
    for repository in requests.get(f"{server.url}/v2/_catalog", timeout=10).json()["repositories"]:
        for tag in requests.get(f"{server.url}/v2/{repository}/tags/list", timeout=10).json()["tags"]:
            manifest = requests.get(f"{server.url}/v2/{repository}/manifests/{tag}", timeout=10)
            assert manifest.status_code == 200, (repository, tag)
            for blob in [manifest.json()["config"], *manifest.json()["layers"]]:
                found = requests.head(f"{server.url}/v2/{repository}/blobs/{blob['digest']}", timeout=10)
                assert found.status_code == 200 and int(found.headers["content-length"]) == blob["size"], (repository, tag, blob)


def kill_during(server, work, after):
    """Runs `work` on a thread of its own, kills the server `after` seconds later, and starts it again."""
    def run():
        try:
            work()
        except (requests.RequestException, subprocess.CalledProcessError, AssertionError):
            pass  # it lost its server

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(after)
    server.kill()
    thread.join(60)
    server.start()


def layouts(tmp_path, count):
    common = layer_tar({"common": os.urandom(200_000)}, applets=False)
    return [make_layout(str(tmp_path / str(n)), layers=[common, layer_tar({"own": os.urandom(400_000)}, applets=False)]) for n in range(count)]


@pytest.mark.parametrize("seed", [1, 2])
def test_pushes_survive_kills(tmp_path, seed):
    chance = random.Random(seed)
    sources = layouts(tmp_path, 6)
    with Server() as server:
        for source in sources:
            kill_during(server, lambda: push(source, port_of(server), f"team/web{chance.randint(0, 1)}:{chance.randint(0, 3)}"), chance.uniform(0.02, 0.3))
            check_store(server)
            push(source, port_of(server), "team/sure:latest")
            check_store(server)


@pytest.mark.parametrize("seed", [1, 2])
def test_prunes_survive_kills_also_beside_pushes(tmp_path, seed):
    chance = random.Random(seed)
    sources = layouts(tmp_path, 6)
    with Server() as server:
        push(sources[0], port_of(server), "kept:1")
        kept = requests.get(f"{server.url}/v2/kept/manifests/1", timeout=10).content
        for source in sources[1:]:
            push(source, port_of(server), "moving:1")  # the one before it has no tag now
            beside = threading.Thread(target=lambda: subprocess.run(
                ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", source, f"docker://127.0.0.1:{port_of(server)}/beside:1"], capture_output=True))
            beside.start()
            kill_during(server, lambda: prune(server), chance.uniform(0.0, 0.05))
            beside.join(60)
            check_store(server)
            assert requests.get(f"{server.url}/v2/kept/manifests/1", timeout=10).content == kept
        removed = prune(server)
        check_store(server)
        assert prune(server)["freedBytes"] == 0 and removed is not None
