"""kill -9 of the server in the middle of builds that write their documents, of collecting the step cache, and of `images compress`.

What holds after every kill: the store is whole (test_image_crash.check_store), whatever has a tag has both documents, once, what was cached and
is not collected is still cached, and the same command succeeds afterwards.
"""
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import pytest
import requests

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1] / "support")]

from server import Server  # noqa: E402
from test_image_crash import check_store, kill_during, port_of, prune  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: building needs root")
DOCUMENTS = ["application/spdx+json", "application/vnd.in-toto+json"]


@pytest.fixture
def server():
    with Server() as server:
        server.watari("base", "build", "busybox", "--from", "busybox")
        yield server


def make_context(directory, text, files=1):
    directory.mkdir(exist_ok=True)
    for number in range(files):
        (directory / f"f{number}").write_text(f"{text} {number}")
    (directory / "Dockerfile").write_text("FROM busybox\n" + "".join(f"COPY f{number} /\n" for number in range(files)))
    return directory


def documents(server, repository, digest):
    """The types of what speaks about an image; their bytes are there and are what their digests say."""
    found = requests.get(f"{server.url}/v2/{repository}/referrers/{digest}", timeout=10).json()["manifests"]
    for each in found:
        manifest = requests.get(f"{server.url}/v2/{repository}/manifests/{each['digest']}", timeout=10)
        assert manifest.status_code == 200 and "sha256:" + hashlib.sha256(manifest.content).hexdigest() == each["digest"]
        for layer in manifest.json()["layers"]:
            blob = requests.get(f"{server.url}/v2/{repository}/blobs/{layer['digest']}", timeout=10)
            assert "sha256:" + hashlib.sha256(blob.content).hexdigest() == layer["digest"]
    return sorted(each["artifactType"] for each in found)


def check_documents(server):
    seen = 0
    for repository in requests.get(f"{server.url}/v2/_catalog", timeout=10).json()["repositories"]:
        if repository == "busybox":
            continue
        for tag in requests.get(f"{server.url}/v2/{repository}/tags/list", timeout=10).json()["tags"] or []:
            digest = requests.head(f"{server.url}/v2/{repository}/manifests/{tag}", timeout=10).headers["docker-content-digest"]
            assert documents(server, repository, digest) == DOCUMENTS, (repository, tag)
            seen += 1
    return seen


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_has_a_tag_has_its_documents(server, tmp_path, seed):
    chance = random.Random(seed)
    started = time.monotonic()
    server.watari("build", "-t", "sure", make_context(tmp_path / "sure", "sure"))
    whole = time.monotonic() - started
    for number in range(8):
        context = make_context(tmp_path / str(number), f"text {number}")
        kill_during(server, lambda: server.watari("build", "-t", f"web:{number}", "-t", f"other:{number}", context, check=False), chance.uniform(whole / 3, whole * 1.1))
        check_store(server)
        check_documents(server)
        server.watari("build", "-t", f"web:{number}", "-t", f"other:{number}", context)
        assert check_documents(server) >= 3


def age(directory, days):
    then = time.time() - days * 24 * 3600
    for path in directory.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


@pytest.mark.parametrize("seed", [1, 2])
def test_collecting_the_step_cache_survives_kills(server, tmp_path, seed):
    chance = random.Random(seed)
    cache = server.root / "images/cache"
    kept = make_context(tmp_path / "kept", "kept", files=12)
    server.watari("build", "-t", "kept", kept)
    entries = {path.stem for path in cache.glob("??/*.json")}
    for turn in range(4):
        # Entries as builds leave them whose layers were pruned.
        for number in range(400):
            inputs = json.dumps({"inputs": {"turn": turn, "number": number}, "below": []})
            key = hashlib.sha256(inputs.encode()).hexdigest()
            shelf = cache / key[:2]
            shelf.mkdir(exist_ok=True)
            layer = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
            (shelf / f"{key}.inputs").write_text(inputs)
            (shelf / f"{key}.files").write_bytes(b"644 0:0 0 x\0path\0")
            (shelf / f"{key}.json").write_text(json.dumps({"created": "2026-01-01T00:00:00Z", "layer": {"diffId": layer, "digest": layer, "size": 1, "mediaType": "x"}}))
        age(cache, 3)
        kill_during(server, lambda: prune(server), chance.uniform(0.0, 0.06))
        check_store(server)
        again = server.watari("build", "-t", "again", "--explain", kept)
        assert "  done" not in again.stdout, again.stdout
        assert again.stdout.split()[-2] == server.watari("build", "-t", "kept", kept).stdout.split()[-2]
    age(cache, 3)
    prune(server)
    assert {path.name.split(".")[0] for path in cache.glob("??/*.*")} == entries
    assert prune(server)["cacheEntries"] == 0


@pytest.mark.parametrize("how", ["zstd", "gzip"])
def test_compressing_survives_kills(server, tmp_path, how):
    chance = random.Random(how)
    context = tmp_path / "context"
    context.mkdir()
    for number in range(3):
        (context / f"data{number}").write_bytes(chance.randbytes(200_000) * 30)
    (context / "Dockerfile").write_text("FROM busybox\n" + "".join(f"COPY data{number} /\n" for number in range(3)))
    server.watari("build", "-t", "web:1", context)
    started = time.monotonic()
    server.watari("images", "compress", "web:1", "--as", "sure:1", "--with", how)
    whole = time.monotonic() - started
    want = requests.get(f"{server.url}/v2/sure/manifests/1", timeout=10).content
    server.watari("images", "rm", "sure:1")
    for number in range(5):
        prune(server)
        kill_during(server, lambda: server.watari("images", "compress", "web:1", "--as", f"web:z{number}", "--with", how, check=False), chance.uniform(0, whole))
        check_store(server)
        check_documents(server)
        server.watari("images", "compress", "web:1", "--as", f"web:y{number}", "--with", how)
        check_store(server)
        assert check_documents(server) >= 2  # they go along, before the tag
        assert requests.get(f"{server.url}/v2/web/manifests/y{number}", timeout=10).content == want
        for tag in (f"z{number}", f"y{number}"):
            server.watari("images", "rm", f"web:{tag}", check=False)
    server.watari("images", "compress", "web:1", "--as", "out:1", "--with", how)
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://127.0.0.1:{port_of(server)}/out:1", f"dir:{tmp_path}/out"], check=True)
