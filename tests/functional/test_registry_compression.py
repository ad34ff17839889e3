"""Layers are plain here and compressed only on their way to somebody else: by the transfer's encoding, which leaves every digest as it is."""
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import pytest
import requests

from busybox_image import make_layout, push
from server import Server, free_port

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
FORCED = {"zstd": "zstd, identity;q=0", "gzip": "gzip, identity;q=0"}


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def port_of(server):
    return int(server.url.rsplit(":", 1)[1])


def noise(size):
    """Compresses to about a half."""
    return b"".join(os.urandom(500) + b"x" * 500 for _ in range(size // 1000))


@pytest.fixture(scope="module")
def built(server, tmp_path_factory):
    """web:1, built here of one layer of 3 MB and a small one: its digest, and its layers."""
    context = tmp_path_factory.mktemp("context")
    (context / "data").write_bytes(noise(3_000_000))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY data /data\nWORKDIR /srv\n")
    server.watari("build", "--root", server.root, context, "-t", "web:1")
    answer = requests.get(f"{server.url}/v2/web/manifests/1", timeout=30)
    return answer.headers["docker-content-digest"], answer.json()["layers"]


def decoded(form, data):
    if form == "gzip":
        return gzip.decompress(data)
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout


def raw(url, **headers):
    with requests.get(url, headers={"Accept-Encoding": "identity", **headers}, stream=True, timeout=60) as answer:
        return answer.status_code, answer.headers, answer.raw.read(decode_content=False)


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_plain_layer_goes_out_compressed_and_its_digest_is_that_of_the_plain_bytes(server, built, form):
    layer = built[1][0]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    url = f"{server.url}/v2/web/blobs/{layer['digest']}"
    status, headers, body = raw(url, **{"Accept-Encoding": FORCED[form]})
    assert status == 200 and headers["content-encoding"] == form and headers["docker-content-digest"] == layer["digest"]
    assert "accept-encoding" in headers["vary"].lower() and len(body) < 0.7 * layer["size"]
    plain = decoded(form, body)
    assert len(plain) == layer["size"] and sha256(plain) == layer["digest"]
    # The plain bytes are another representation, and the only one that parts are taken of.
    status, plain_headers, body = raw(url)
    assert body == plain and "content-encoding" not in plain_headers and plain_headers["etag"] != headers["etag"]
    status, headers, body = raw(url, **{"Accept-Encoding": FORCED[form], "Range": "bytes=100-199"})
    assert status == 206 and body == plain[100:200] and "content-encoding" not in headers
    head = requests.head(url, headers={"Accept-Encoding": FORCED[form]}, timeout=30)
    assert int(head.headers["content-length"]) == layer["size"] and "content-encoding" not in head.headers


def test_clients_of_this_host_get_plain_bytes_and_what_is_compressed_or_small_stays_as_it_is(server, built, tmp_path):
    large, small = built[1]
    url = f"{server.url}/v2/web/blobs/"
    for wish in ("gzip", "zstd;q=1.0, gzip;q=0.8", "*"):
        assert "content-encoding" not in raw(url + large["digest"], **{"Accept-Encoding": wish})[1], wish
    far = {"X-Forwarded-For": "192.0.2.1"}
    for wish, form in (("gzip", "gzip"), ("zstd, gzip", "zstd"), ("gzip, zstd;q=0.5", "gzip"), ("identity", None), ("gzip;q=0", None), ("identity, gzip;q=0.5", None), ("", None)):
        answer = requests.get(url + large["digest"], headers={**far, "Accept-Encoding": wish}, auth=server.keys, stream=True, timeout=30)
        assert answer.status_code == 200 and answer.headers.get("content-encoding") == form, wish
        answer.close()
    assert "content-encoding" not in raw(url + small["digest"], **{"Accept-Encoding": FORCED["zstd"]})[1]
    push(make_layout(str(tmp_path)), port_of(server), "packed:1")
    for layer in requests.get(f"{server.url}/v2/packed/manifests/1", timeout=30).json()["layers"]:
        status, headers, body = raw(f"{server.url}/v2/packed/blobs/{layer['digest']}", **{"Accept-Encoding": FORCED["zstd"]})
        assert "content-encoding" not in headers and sha256(body) == layer["digest"]


@contextlib.contextmanager
def namespace():
    """A network namespace that reaches this host over one link: (its name, this host's address in it, the link's name here)."""
    name, link = f"wreg{os.getpid() % 100000}", f"wreg{os.getpid() % 100000}h"
    net = f"10.213.{os.getpid() % 250}"
    run = lambda *command: subprocess.run(command, check=True)  # noqa: E731
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "addr", "add", f"{net}.1/30", "dev", link)
        run("ip", "link", "set", link, "up")
        run("ip", "-n", name, "addr", "add", f"{net}.2/30", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name, f"{net}.1", link
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def sent_over(link):
    return int(pathlib.Path(f"/sys/class/net/{link}/statistics/tx_bytes").read_text())


def with_skopeo(inside, place, server, tmp_path):
    subprocess.run([*inside, "skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--src-creds", ":".join(server.keys), f"docker://{place}/web:1",
                    f"dir:{tmp_path}/pulled"], check=True, timeout=120)
    yield (tmp_path / "pulled/manifest.json").read_bytes()


def with_containerd(inside, place, server, tmp_path):
    home = tmp_path / "containerd"
    home.mkdir()
    (home / "config.toml").write_text(f'version = 2\nroot = "{home}/root"\nstate = "{home}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{home}/c.sock"\n')
    daemon = subprocess.Popen(["containerd", "-c", home / "config.toml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ctr = ["ctr", "-a", home / "c.sock"]
    try:
        deadline = time.monotonic() + 30
        while not (home / "c.sock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        subprocess.run([*inside, *ctr, "images", "pull", "--plain-http", "--user", ":".join(server.keys), f"{place}/web:1"], check=True, capture_output=True, timeout=120)
        listed = subprocess.run([*ctr, "images", "ls"], check=True, capture_output=True, text=True).stdout
        digest = re.search(r"sha256:[0-9a-f]{64}", listed).group(0)
        yield subprocess.run([*ctr, "content", "get", digest], check=True, capture_output=True).stdout
    finally:
        daemon.terminate()
        daemon.wait()


def with_docker(inside, place, server, tmp_path):
    """Also pulls an image with gzip layers of the same content, and pushes what it has pulled."""
    home = server.directory / "docker"  # a short name: its sockets' may not be long
    (home / "config").mkdir(parents=True)
    environment = {**os.environ, "DOCKER_HOST": f"unix://{home}/docker.sock", "DOCKER_CONFIG": str(home / "config")}
    docker = lambda *words, **more: subprocess.run(["docker", *words], env=environment, check=True, capture_output=True, text=True, timeout=120, **more).stdout  # noqa: E731
    with open(home / "log", "w") as log:
        # Not `ip netns exec`, which hides the control groups; what it mounts goes with it.
        daemon = subprocess.Popen(["nsenter", f"--net=/run/netns/{inside[-1]}", "unshare", "--mount", "dockerd", "--data-root", home / "data", "--exec-root", home / "run", "--pidfile", home / "pid",
                                   "-H", environment["DOCKER_HOST"], "--insecure-registry", place, "--iptables=false", "--ip6tables=false", "--bridge=none"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while subprocess.run(["docker", "info"], env=environment, capture_output=True).returncode != 0:
            assert time.monotonic() < deadline and daemon.poll() is None, (home / "log").read_text()[-2000:]
            time.sleep(0.1)
        docker("login", "-u", server.keys[0], "--password-stdin", place, input=server.keys[1])
        docker("pull", f"{place}/web:1")
        digest = docker("image", "inspect", "--format", "{{index .RepoDigests 0}}", f"{place}/web:1").strip().split("@")[1]
        plain = docker("image", "inspect", "--format", "{{.Id}}", f"{place}/web:1")
        docker("tag", f"{place}/web:1", f"{place}/back:1")
        docker("push", f"{place}/back:1")
        assert requests.get(f"{server.url}/v2/back/manifests/1", timeout=30).status_code == 200
        server.watari("images", "compress", "--root", server.root, "web:1", "--as", "packed:1", "--with", "gzip")
        docker("rmi", f"{place}/web:1", f"{place}/back:1")
        yield requests.get(f"{server.url}/v2/web/manifests/{digest}", timeout=30).content
        docker("pull", f"{place}/packed:1")
        assert docker("image", "inspect", "--format", "{{.Id}}", f"{place}/packed:1") == plain
    finally:
        daemon.terminate()
        daemon.wait()


@pytest.mark.parametrize("client", [with_skopeo, with_containerd, with_docker])
def test_real_clients_elsewhere_take_half_the_bytes_and_find_the_digest_of_the_build(client, tmp_path):
    needed = {"with_skopeo": ["skopeo"], "with_containerd": ["containerd", "ctr"], "with_docker": ["docker", "dockerd"]}[client.__name__]
    if not all(map(shutil.which, needed)):
        pytest.skip(f"{' and '.join(needed)} are not installed: their pulls of compressed layers were not run")
    (tmp_path / "context").mkdir()
    (tmp_path / "context/data").write_bytes(noise(8_000_000))
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nCOPY data /data\n")
    with namespace() as (name, address, link):
        port = free_port()
        with Server("--https-listen", f"{address}:{port}") as server:
            server.watari("build", "--root", server.root, tmp_path / "context", "-t", "web:1")
            wanted = requests.get(f"{server.url}/v2/web/manifests/1", timeout=30)
            before = sent_over(link)
            steps = client(["ip", "netns", "exec", name], f"{address}:{port}", server, tmp_path)
            manifest = next(steps)
            taken = sent_over(link) - before
            assert list(steps) == []  # what else the client does
            assert sha256(manifest) == wanted.headers["docker-content-digest"]
            assert 3_000_000 < taken < 6_000_000, taken
            details = server.client("ecr").describe_images(repositoryName="web", imageIds=[{"imageTag": "1"}])["imageDetails"]
            assert details[0]["imageDigest"] == sha256(manifest)


def test_many_large_pulls_at_once_take_little_memory(tmp_path):
    piece = noise(1_000_000)
    with open(tmp_path / "data", "wb") as out:
        for number in range(200):
            out.write(number.to_bytes(8, "big") + piece)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")
    with Server() as server:
        server.watari("build", "--root", server.root, tmp_path, "-t", "big:1", timeout=300)
        layer = requests.get(f"{server.url}/v2/big/manifests/1", timeout=30).json()["layers"][0]
        url, found = f"{server.url}/v2/big/blobs/{layer['digest']}", []

        def take(form):
            digest = hashlib.sha256()
            with requests.get(url, headers={"Accept-Encoding": FORCED[form]}, stream=True, timeout=120) as answer:
                for part in answer.raw.stream(1 << 18, decode_content=False):
                    digest.update(part)
                found.append(answer.headers.get("content-encoding"))

        pathlib.Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
        threads = [threading.Thread(target=take, args=(form,)) for form in ("gzip", "zstd", "gzip", "zstd", "gzip")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Three at a time are compressed; who comes then gets the bytes as they are, and nobody waits.
        assert len(found) == 5 and found.count("gzip") + found.count("zstd") >= 3
        peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{server.process.pid}/status").read_text()).group(1))
        assert peak < 64 * 1024, peak
