"""Base images: made again the same, and what builds on one that has changed. The Debian part needs the package archives of the host."""
import json
import pathlib
import sys

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from server import Server  # noqa: E402


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def base(server, *arguments, check=True):
    return server.watari("base", *arguments, "--root", server.root, "--json", check=check, timeout=900)


def test_a_base_is_made_again_the_same_and_what_builds_on_it_is_known(server, tmp_path):
    made = json.loads(base(server, "build", "tiny", "--from", "busybox").stdout)
    (tmp_path / "Dockerfile").write_text("FROM tiny\nCOPY Dockerfile /there\n")
    server.watari("build", "--root", server.root, tmp_path, "-t", "app:1")
    server.watari("build", "--root", server.root, tmp_path, "-t", "app:2")
    (update,) = json.loads(base(server, "update").stdout)
    assert update["image"] == "tiny:latest" and update["digest"] == made["imageDigest"] and not update["changed"]
    assert update["images"] == ["app:1", "app:2"] and update["services"] == []
    assert base(server, "update", "app:1", check=False).returncode == 1


def test_a_debian_base_is_reproducible_and_lists_its_packages(server):
    first = base(server, "build", "deb", check=False)
    if first.returncode != 0 and "mmdebstrap" in first.stderr:
        pytest.skip(f"mmdebstrap could not make a base here: {first.stderr[-300:]}")
    digest = json.loads(first.stdout)["imageDigest"]
    assert json.loads(base(server, "build", "deb").stdout)["imageDigest"] == digest
    referrers = requests.get(f"{server.url}/v2/deb/referrers/{digest}?artifactType=application/spdx%2Bjson", timeout=10).json()["manifests"]
    assert len(referrers) == 1
    manifest = requests.get(f"{server.url}/v2/deb/manifests/{referrers[0]['digest']}", timeout=10).json()
    document = requests.get(f"{server.url}/v2/deb/blobs/{manifest['layers'][0]['digest']}", timeout=10).json()
    names = {package["name"] for package in document["packages"]}
    assert document["spdxVersion"] == "SPDX-2.3" and {"libc6", "dpkg", "apt"} <= names
