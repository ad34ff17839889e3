"""sha512 digests, all the way: pushed whole and in chunks, over kills, by tag parameters, as referrers, through a second server, and run."""
import gzip
import hashlib
import json
import os

import requests

from busybox_image import layer_tar
from server import Server

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def sha512(data):
    return "sha512:" + hashlib.sha512(data).hexdigest()


def host(server):
    return server.url.removeprefix("http://")


def push_blob(server, repository, data, digest=sha512):
    place = requests.post(f"{server.url}/v2/{repository}/blobs/uploads/?digest-algorithm=sha512", timeout=30).headers["location"]
    answer = requests.put(f"{server.url}{place}?digest={digest(data)}", data=data, timeout=30)
    assert answer.status_code == 201 and answer.headers["docker-content-digest"] == digest(data), answer.text
    return {"digest": digest(data), "size": len(data)}


def push_manifest(server, repository, document, *tags):
    data = json.dumps(document).encode()
    tagged = "&".join(f"tag={tag}" for tag in tags)
    answer = requests.put(f"{server.url}/v2/{repository}/manifests/{sha512(data)}?{tagged}", data=data, headers={"Content-Type": MANIFEST}, timeout=30)
    assert answer.status_code == 201, answer.text
    assert [tag.strip() for tag in answer.headers.get("oci-tag", "").split(",") if tag] == list(tags)
    return data


def push_image(server, repository, *tags):
    """A busybox of two layers; nothing in it is named by a sha256."""
    tars = [layer_tar(), layer_tar({"etc/greeting": b"hello\n"}, applets=False)]
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/cat", "/etc/greeting"]}, "rootfs": {"type": "layers", "diff_ids": [sha512(tar) for tar in tars]}}
    layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **push_blob(server, repository, gzip.compress(tar, 1))} for tar in tars]
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", **push_blob(server, repository, json.dumps(config).encode())}
    return push_manifest(server, repository, {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}, *tags)


def test_an_image_of_sha512_digests_is_pushed_copied_and_run(server, tmp_path):
    manifest = push_image(server, "strong/web", "1", "stable")
    for reference in ("1", "stable", sha512(manifest)):
        answer = requests.get(f"{server.url}/v2/strong/web/manifests/{reference}", timeout=30)
        assert answer.content == manifest and answer.headers["docker-content-digest"] == sha512(manifest)
    (tmp_path / "Dockerfile").write_text(f"FROM strong/web@{sha512(manifest)}\nRUN test \"$(cat /etc/greeting)\" = hello\n")
    server.watari("build", "--root", server.root, tmp_path, "-t", "built:1")
    with Server() as other:
        pulled = json.loads(other.watari("images", "pull", "--root", other.root, f"{host(server)}/strong/web:1", "--as", "web:1", "--json").stdout)
        assert pulled["digest"] == sha512(manifest)
        other.watari("images", "push", "--root", other.root, "web:1", f"{host(server)}/strong/back:2")
        stored = {path.name for path in (other.root / "images/blobs/sha512").iterdir()}
        assert sha512(manifest).removeprefix("sha512:") in stored and len(stored) == 4
    answer = requests.get(f"{server.url}/v2/strong/back/manifests/2", timeout=30)
    assert answer.content == manifest and answer.headers["docker-content-digest"] == sha512(manifest)
    # A push that names a tag only is known by its sha256.
    requests.put(f"{server.url}/v2/strong/plain/manifests/1", data=manifest, headers={"Content-Type": MANIFEST}, timeout=30)
    answer = requests.get(f"{server.url}/v2/strong/plain/manifests/1", timeout=30)
    assert answer.content == manifest and answer.headers["docker-content-digest"] == "sha256:" + hashlib.sha256(manifest).hexdigest()
    ecr = server.client("ecr")
    details = ecr.describe_images(repositoryName="strong/web")["imageDetails"]
    assert [(each["imageDigest"], sorted(each["imageTags"])) for each in details] == [(sha512(manifest), ["1", "stable"])]
    got = ecr.batch_get_image(repositoryName="strong/web", imageIds=[{"imageDigest": sha512(manifest)}])["images"]
    assert got[0]["imageManifest"].encode() == manifest
    again = ecr.put_image(repositoryName="strong/third", imageManifest=manifest.decode(), imageDigest=sha512(manifest), imageTag="x") if ecr.create_repository(repositoryName="strong/third") else None
    assert again["image"]["imageId"] == {"imageDigest": sha512(manifest), "imageTag": "x"}


def test_chunks_of_a_sha512_blob_survive_a_kill():
    data = os.urandom(2_000_000)
    with Server() as server:
        place = server.url + requests.post(f"{server.url}/v2/cut/blobs/uploads/?digest-algorithm=sha512", timeout=30).headers["location"]
        assert requests.patch(place, data=data[:900_000], timeout=30).status_code == 202
        server.kill()
        server.start()
        place = server.url + place[place.index("/v2/"):]
        assert requests.get(place, timeout=30).headers["range"] == "0-899999"
        assert requests.patch(place, data=data[900_000:], headers={"Content-Range": "900000-1999999"}, timeout=30).status_code == 202
        assert requests.put(f"{place}?digest={sha512(data)}", timeout=30).status_code == 201
        manifest = push_image(server, "cut", "1")
        server.kill()
        server.start()
        answer = requests.get(f"{server.url}/v2/cut/blobs/{sha512(data)}", headers={"Range": "bytes=10-19"}, timeout=30)
        assert answer.status_code == 206 and answer.content == data[10:20]
        assert requests.get(f"{server.url}/v2/cut/manifests/1", timeout=30).content == manifest
        # Nothing names the blob, so it goes; what the tag leads to stays.
        assert sha512(data) in server.own("PruneImages", graceSeconds=0)["blobs"]
        assert requests.get(f"{server.url}/v2/cut/blobs/{sha512(data)}", timeout=30).status_code == 404
        for blob in json.loads(manifest)["layers"]:
            assert requests.head(f"{server.url}/v2/cut/blobs/{blob['digest']}", timeout=30).status_code == 200


def test_wrong_sha512_digests_are_refused(server):
    wrong = "sha512:" + "0" * 128
    place = requests.post(f"{server.url}/v2/wrong/blobs/uploads/", timeout=30).headers["location"]
    answer = requests.put(f"{server.url}{place}?digest={wrong}", data=b"abc", timeout=30)
    assert answer.status_code == 400 and answer.json()["errors"][0]["code"] == "DIGEST_INVALID"
    for bad in ("sha512:" + "0" * 64, "sha256:" + "0" * 128, "sha384:" + "0" * 96, "sha512:" + "A" * 128):
        assert requests.get(f"{server.url}/v2/wrong/blobs/{bad}", timeout=30).status_code == 400
    document = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": push_blob(server, "wrong", b"{}"), "layers": []})
    assert requests.put(f"{server.url}/v2/wrong/manifests/{wrong}", data=document, headers={"Content-Type": MANIFEST}, timeout=30).status_code == 400


def test_what_speaks_about_a_sha512_manifest_is_listed_and_goes_along(server):
    manifest = push_image(server, "strong/signed", "1")
    subject = {"mediaType": MANIFEST, "digest": sha512(manifest), "size": len(manifest)}
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", **push_blob(server, "strong/signed", b"{}")}
    note = push_manifest(server, "strong/signed", {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x.note", "config": empty, "layers": [], "subject": subject})
    listed = requests.get(f"{server.url}/v2/strong/signed/referrers/{sha512(manifest)}", timeout=30).json()["manifests"]
    assert [entry["digest"] for entry in listed] == [sha512(note)]
    with Server() as other:
        server.watari("images", "push", "--root", server.root, "strong/signed:1", f"{host(other)}/there:1")
        there = requests.get(f"{other.url}/v2/there/referrers/{sha512(manifest)}", timeout=30).json()["manifests"]
        assert [entry["digest"] for entry in there] == [sha512(note)]
        assert requests.get(f"{other.url}/v2/there/manifests/{sha512(manifest)}", timeout=30).content == manifest
