"""What a power cut leaves of a build: everything that was not flushed is cut off or full of zeros, and the machine's start is another one.

A test cannot cut the power; it kills the server right after the build, before the layers are flushed, damages every file that was not, and
gives what was written the id of another start of the machine, as it would have after a real one.
"""
import hashlib
import json
import os
import pathlib
import random
import sys

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from server import Server  # noqa: E402

FILES = {f"lib/part{number % 7}/file{number}": f"content {number}\n" * 50 for number in range(60)}


def make_context(directory):
    for name, text in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    (directory / "Dockerfile").write_text("FROM busybox\nCOPY lib /lib\nRUN cat $(find /lib -type f | sort) | sha256sum > /sum && echo made > /made\nCMD [\"cat\", \"/sum\"]\n")
    return directory


def damage(path, chance):
    if path.is_symlink() or not path.is_file() or path.stat().st_size == 0:
        return
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(0 if chance.random() < 0.5 else size // 2)
        if chance.random() < 0.5:
            file.truncate(size)  # its end is zeros


def cut_power(server, seed):
    """Returns how many layers were not flushed yet."""
    chance = random.Random(seed)
    server.kill()
    images, contexts = server.root / "images", server.root / "builds/contexts"
    unsafe = [layer for layer in (images / "layers").iterdir() if not (layer / "durable").exists()]
    for layer in unsafe:
        record = json.loads((layer / "layer.json").read_text())
        (layer / "layer.json").write_text(json.dumps(record | {"boot": "another"}) if chance.random() < 0.8 else "")
        for path in sorted((layer / "fs").rglob("*")):
            damage(path, chance)
    (contexts / "boot").write_text("another")
    for tree in (contexts, images / "cache", server.root / "builds/records"):
        for path in sorted(tree.rglob("*")):
            if path != contexts / "boot":
                damage(path, chance)
    server.start()
    return len(unsafe)


def printed(server, directory, image, command):
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text(f"FROM {image}\nRUN {command}\n")
    return server.watari("build", "--no-cache", directory).stderr


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_image_that_was_just_built_is_whole_after_a_power_cut(tmp_path, seed):
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: building needs root")
    context = make_context(tmp_path / "context")
    total = hashlib.sha256("".join(FILES[name] for name in sorted(FILES)).encode()).hexdigest()
    with Server() as server:
        server.watari("base", "build", "busybox", "--from", "busybox")
        server.watari("build", "-t", "web", context)
        manifest = requests.get(f"{server.url}/v2/web/manifests/latest", timeout=10)
        assert cut_power(server, seed) >= 2  # else this test proves nothing

        # The image is there and runs; every layer goes out with the bytes of its digest.
        assert requests.get(f"{server.url}/v2/web/manifests/latest", timeout=10).content == manifest.content
        assert f"{total}" in printed(server, tmp_path / "run", "web", "cat /sum && cat $(find /lib -type f | sort) | sha256sum").split("RUN", 1)[1]
        for blob in [manifest.json()["config"], *manifest.json()["layers"]]:
            assert "sha256:" + hashlib.sha256(requests.get(f"{server.url}/v2/web/blobs/{blob['digest']}", timeout=10).content).hexdigest() == blob["digest"]

        # Nothing of the damaged context or cache finds its way into the next build.
        server.watari("build", "-t", "again", context)
        assert f"{total}" in printed(server, tmp_path / "run", "again", "cat /sum").split("RUN", 1)[1]
        server.watari("build", "--no-cache", "-t", "fresh", context)
        out = printed(server, tmp_path / "run", "fresh", "cat $(find /lib -type f | sort) | sha256sum && cat /made")
        assert total in out and "made" in out
