"""docker-compatible clients and plain HTTP against the registry of a real server."""
import base64
import hashlib
import http.client
import json
import os
import re
import subprocess
import threading
import urllib.request

import pytest

from busybox_image import layer_tar, make_layout
from server import Server

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def port_of(server):
    return int(server.url.rsplit(":", 1)[1])


def call(server, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data


def skopeo(*arguments, check=True):
    return subprocess.run(["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True, check=check, timeout=120)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return make_layout(str(tmp_path_factory.mktemp("layout")), files={"etc/greeting": b"hello\n"})


def push_blob(server, repository, data):
    status, headers, _ = call(server, "POST", f"/v2/{repository}/blobs/uploads/")
    assert status == 202
    status, headers, _ = call(server, "PUT", f"{headers['location']}?digest={digest_of(data)}", data)
    assert status == 201, headers
    return {"digest": digest_of(data), "size": len(data)}


def small_manifest(server, repository, **more):
    config = push_blob(server, repository, b"{}")
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "application/vnd.oci.empty.v1+json", **config}, "layers": [], **more}).encode()


def test_skopeo_pushes_inspects_copies_pulls_and_deletes(server, layout, tmp_path):
    host = f"docker://127.0.0.1:{port_of(server)}"
    skopeo("copy", "--dest-tls-verify=false", layout, f"{host}/team/web:1")
    skopeo("copy", "--dest-tls-verify=false", layout, f"{host}/team/web:1")  # again: everything is there
    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"{host}/team/web:1").stdout)
    assert seen["RepoTags"] == ["1"] and seen["Architecture"] == "amd64"
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"{host}/team/web:1", f"{host}/other/name:v2")
    skopeo("copy", "--src-tls-verify=false", f"{host}/other/name:v2", f"dir:{tmp_path}/pulled")
    manifest = json.load(open(tmp_path / "pulled/manifest.json"))
    for layer in manifest["layers"]:
        data = open(tmp_path / "pulled" / layer["digest"].split(":")[1], "rb").read()
        assert digest_of(data) == layer["digest"]
    assert json.loads(skopeo("list-tags", "--tls-verify=false", f"{host}/other/name").stdout)["Tags"] == ["v2"]
    skopeo("delete", "--tls-verify=false", f"{host}/other/name:v2")
    assert skopeo("inspect", "--tls-verify=false", f"{host}/other/name:v2", check=False).returncode != 0
    assert skopeo("inspect", "--tls-verify=false", f"{host}/team/web:1", check=False).returncode == 0


def test_docker_schema_2_and_zstd_go_both_ways(server, layout, tmp_path):
    host = f"docker://127.0.0.1:{port_of(server)}"
    skopeo("copy", "--dest-tls-verify=false", "--format=v2s2", layout, f"{host}/docker:1")
    raw = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"{host}/docker:1").stdout)
    assert raw["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    skopeo("copy", "--dest-tls-verify=false", "--dest-compress-format=zstd", "--dest-compress", layout, f"{host}/zstd:1")
    skopeo("copy", "--src-tls-verify=false", f"{host}/zstd:1", f"oci:{tmp_path}/z:1")


def test_blobs_are_served_in_ranges(server):
    data = os.urandom(300_000)
    blob = push_blob(server, "ranges", data)
    path = f"/v2/ranges/blobs/{blob['digest']}"
    status, headers, body = call(server, "HEAD", path)
    assert (status, int(headers["content-length"]), body) == (200, len(data), b"")
    assert call(server, "GET", path)[2] == data
    for asked, part in (("bytes=0-9", data[:10]), ("bytes=299990-", data[-10:]), ("bytes=-5", data[-5:]), ("bytes=100-999999", data[100:]),
                        ("bytes=0-9, 10-19,5-30", data[:31]), ("Bytes = 7-7", data[7:8])):
        status, headers, body = call(server, "GET", path, headers={"Range": asked})
        assert status == 206 and body == part, asked
    for asked in ("bytes=300000-", "bytes=-0", "bytes=99999999999999999999-"):
        status, headers, _ = call(server, "GET", path, headers={"Range": asked})
        assert status == 416 and headers["content-range"] == "bytes */300000", asked
    # Parts that lie apart, other units and nonsense: the whole blob, as a server may answer.
    for asked in ("bytes=0-9,20-29", "lines=1-2", "bytes=9-1", "bytes=a-b", "bytes="):
        status, headers, body = call(server, "GET", path, headers={"Range": asked})
        assert status == 200 and body == data and "content-range" not in headers, asked
    tag = call(server, "HEAD", path)[1]["etag"]
    assert call(server, "GET", path, headers={"Range": "bytes=0-9", "If-Range": tag})[0] == 206
    assert call(server, "GET", path, headers={"Range": "bytes=0-9", "If-Range": '"another"'})[2] == data


def test_chunks_must_follow_each_other(server):
    data = os.urandom(50_000)
    _, headers, _ = call(server, "POST", "/v2/chunks/blobs/uploads/")
    place = headers["location"]
    status, headers, _ = call(server, "PATCH", place, data[:20_000], {"Content-Range": "0-19999"})
    assert status == 202 and headers["range"] == "0-19999"
    status, headers, _ = call(server, "PATCH", place, data[30_000:], {"Content-Range": "30000-49999"})
    assert status == 416 and headers["range"] == "0-19999"
    assert call(server, "GET", place)[0] == 204
    assert call(server, "PATCH", place, data[20_000:40_000], {"Content-Range": "20000-39999"})[0] == 202
    status, _, _ = call(server, "PUT", f"{place}?digest={digest_of(data)}", data[40_000:], {"Content-Range": "40000-49999"})
    assert status == 201
    assert call(server, "GET", f"/v2/chunks/blobs/{digest_of(data)}")[2] == data
    assert call(server, "GET", place)[0] == 404


def test_wrong_digests_are_refused(server):
    wrong = "sha256:" + "0" * 64
    _, headers, _ = call(server, "POST", "/v2/wrong/blobs/uploads/")
    status, _, body = call(server, "PUT", f"{headers['location']}?digest={wrong}", b"abc")
    assert status == 400 and json.loads(body)["errors"][0]["code"] == "DIGEST_INVALID"
    assert call(server, "POST", f"/v2/wrong/blobs/uploads/?digest={wrong}", b"abc")[0] == 400
    assert call(server, "GET", f"/v2/wrong/blobs/{wrong}")[0] == 404
    manifest = small_manifest(server, "wrong")
    assert call(server, "PUT", f"/v2/wrong/manifests/{wrong}", manifest, {"Content-Type": MANIFEST})[0] == 400
    assert call(server, "PUT", "/v2/wrong/manifests/-bad", manifest, {"Content-Type": MANIFEST})[0] == 400
    assert call(server, "PUT", "/v2/wrong/manifests/1", b"{}", {"Content-Type": MANIFEST})[0] == 400
    assert call(server, "PUT", "/v2/wrong/manifests/1", b"x" * 5_000_000, {"Content-Type": MANIFEST})[0] == 413
    missing = manifest.replace(digest_of(b"{}").encode(), wrong.encode())
    status, _, body = call(server, "PUT", "/v2/wrong/manifests/1", missing, {"Content-Type": MANIFEST})
    assert status == 400 and json.loads(body)["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    assert call(server, "GET", "/v2/Wrong/manifests/1")[0] == 400
    assert call(server, "GET", "/v2/..%2f..%2fetc/manifests/1")[0] == 400
    assert call(server, "GET", "/v2/nothing/tags/list")[0] == 404
    assert call(server, "PUT", "/v2/")[0] == 405


def test_tags_come_in_pages(server):
    manifest = small_manifest(server, "pages")
    for tag in ("c", "a", "b", "e", "d"):
        assert call(server, "PUT", f"/v2/pages/manifests/{tag}", manifest, {"Content-Type": MANIFEST})[0] == 201
    assert json.loads(call(server, "GET", "/v2/pages/tags/list")[2]) == {"name": "pages", "tags": ["a", "b", "c", "d", "e"]}
    status, headers, body = call(server, "GET", "/v2/pages/tags/list?n=2")
    assert json.loads(body)["tags"] == ["a", "b"]
    following = re.match(r'<(.*)>; rel="next"', headers["link"]).group(1)
    status, headers, body = call(server, "GET", following)
    assert json.loads(body)["tags"] == ["c", "d"]
    status, headers, body = call(server, "GET", "/v2/pages/tags/list?n=2&last=d")
    assert json.loads(body)["tags"] == ["e"] and "link" not in headers
    status, headers, body = call(server, "GET", "/v2/pages/tags/list?n=0")
    assert json.loads(body)["tags"] == [] and "link" not in headers
    for wrong in ("-1", "x", "1.5"):
        assert call(server, "GET", f"/v2/pages/tags/list?n={wrong}")[0] == 400, wrong
    assert json.loads(call(server, "GET", "/v2/pages/tags/list?last=e")[2])["tags"] == []
    assert json.loads(call(server, "GET", "/v2/pages/tags/list?last=cc")[2])["tags"] == ["d", "e"]


def test_referrers_are_listed_and_filtered(server):
    subject = small_manifest(server, "signed")
    call(server, "PUT", "/v2/signed/manifests/1", subject, {"Content-Type": MANIFEST})
    about = {"mediaType": MANIFEST, "digest": digest_of(subject), "size": len(subject)}
    for kind in ("application/x.sbom", "application/x.signature"):
        artifact = small_manifest(server, "signed", subject=about, artifactType=kind, annotations={"kind": kind})
        status, headers, _ = call(server, "PUT", f"/v2/signed/manifests/{digest_of(artifact)}", artifact, {"Content-Type": MANIFEST})
        assert status == 201 and headers["oci-subject"] == about["digest"]
    status, headers, body = call(server, "GET", f"/v2/signed/referrers/{about['digest']}")
    assert status == 200 and headers["content-type"] == "application/vnd.oci.image.index.v1+json"
    assert {entry["artifactType"] for entry in json.loads(body)["manifests"]} == {"application/x.sbom", "application/x.signature"}
    status, headers, body = call(server, "GET", f"/v2/signed/referrers/{about['digest']}?artifactType=application/x.sbom")
    assert headers["oci-filters-applied"] == "artifactType" and len(json.loads(body)["manifests"]) == 1
    assert json.loads(call(server, "GET", f"/v2/signed/referrers/sha256:{'1' * 64}")[2])["manifests"] == []


def test_manifests_tags_and_blobs_are_deleted(server):
    manifest = small_manifest(server, "gone", annotations={"only": "here"})
    for tag in ("1", "2"):
        call(server, "PUT", f"/v2/gone/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
    status, headers, body = call(server, "HEAD", "/v2/gone/manifests/1", headers={"Accept": "application/vnd.oci.image.index.v1+json"})
    assert (status, int(headers["content-length"]), body) == (200, len(manifest), b"") and headers["docker-content-digest"] == digest_of(manifest)
    assert headers["content-type"] == MANIFEST  # what is stored, whatever is accepted
    assert call(server, "DELETE", "/v2/gone/manifests/none")[0] == 404
    assert call(server, "DELETE", "/v2/gone/manifests/1")[0] == 202
    assert call(server, "GET", "/v2/gone/manifests/1")[0] == 404
    assert call(server, "GET", f"/v2/gone/manifests/{digest_of(manifest)}")[0] == 200
    assert call(server, "DELETE", f"/v2/gone/blobs/{digest_of(b'{}')}")[0] == 405  # still named
    assert call(server, "DELETE", f"/v2/gone/manifests/{digest_of(manifest)}")[0] == 202
    assert call(server, "GET", "/v2/gone/manifests/2")[0] == 404
    blob = push_blob(server, "gone", b"nobody needs this")
    assert call(server, "DELETE", f"/v2/gone/blobs/{blob['digest']}")[0] == 202
    assert call(server, "DELETE", f"/v2/gone/blobs/{blob['digest']}")[0] == 404


def test_a_blob_is_mounted_from_another_repository(server):
    blob = push_blob(server, "mount/from", b"shared")
    status, headers, _ = call(server, "POST", f"/v2/mount/to/blobs/uploads/?mount={blob['digest']}&from=mount/from")
    assert status == 201 and headers["location"].endswith(blob["digest"])
    assert call(server, "POST", f"/v2/mount/to/blobs/uploads/?mount=sha256:{'2' * 64}&from=mount/from")[0] == 202


def test_only_local_clients_need_no_login(server):
    def basic(user, password):
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    assert call(server, "GET", "/v2/")[0] == 200
    for foreign in ({"Host": "rebound.example.com"}, {"X-Forwarded-For": "192.0.2.1"}, {"Origin": "http://evil.example.com"}):
        status, headers, body = call(server, "GET", "/v2/", headers=foreign)
        assert status == 401 and headers["www-authenticate"].startswith("Basic ") and json.loads(body)["errors"][0]["code"] == "UNAUTHORIZED"
        assert call(server, "GET", "/v2/", headers={**foreign, **basic(*server.keys)})[0] == 200
    assert call(server, "GET", "/v2/", headers=basic(server.keys[0], "wrong"))[0] == 401
    assert call(server, "GET", "/v2/", headers=basic("AWS", "forged.99999999999999.00"))[0] == 401
    assert call(server, "GET", "/v2/", headers={"Authorization": "Basic !!"})[0] == 401


def test_many_clients_push_at_once(server, tmp_path):
    failures = []

    def one(number):
        layout = make_layout(str(tmp_path / str(number)), layers=[layer_tar({"common": b"same" * 1000}, applets=False), layer_tar({"own": str(number).encode()}, applets=False)])
        done = skopeo("copy", "--dest-tls-verify=false", layout, f"docker://127.0.0.1:{port_of(server)}/many/n{number % 3}:t{number}", check=False)
        if done.returncode != 0:
            failures.append(done.stderr)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_an_upload_goes_on_after_the_server_was_killed():
    data = os.urandom(3_000_000)
    with Server() as server:
        _, headers, _ = call(server, "POST", "/v2/crash/blobs/uploads/")
        place = headers["location"]
        assert call(server, "PATCH", place, data[:1_000_000])[0] == 202
        # In the middle of a chunk: some of it arrives, then the server dies.
        connection = http.client.HTTPConnection("127.0.0.1", port_of(server))
        connection.putrequest("PATCH", place)
        connection.putheader("Content-Length", "2000000")
        connection.endheaders()
        connection.send(data[1_000_000:1_700_000])
        manifest = small_manifest(server, "crash")
        assert call(server, "PUT", "/v2/crash/manifests/1", manifest, {"Content-Type": MANIFEST})[0] == 201
        server.kill()
        server.start()
        assert call(server, "GET", "/v2/crash/manifests/1")[2] == manifest
        status, headers, _ = call(server, "GET", place)
        assert status == 204
        offset = int(headers["range"].split("-")[1]) + 1
        assert 1_000_000 <= offset <= 1_700_000
        assert call(server, "PATCH", place, data[offset:], {"Content-Range": f"{offset}-{len(data) - 1}"})[0] == 202
        assert call(server, "PUT", f"{place}?digest={digest_of(data)}")[0] == 201
        assert call(server, "GET", f"/v2/crash/blobs/{digest_of(data)}")[2] == data


def test_large_blobs_pass_through_little_memory(server):
    size = 256 * 1024 * 1024

    def resident():
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{server.process.pid}/status").read()).group(1))

    before = resident()
    piece = os.urandom(1 << 20)
    whole = hashlib.sha256()
    for _ in range(size >> 20):
        whole.update(piece)
    _, headers, _ = call(server, "POST", "/v2/large/blobs/uploads/")
    status, _, _ = call(server, "PUT", f"{headers['location']}?digest=sha256:{whole.hexdigest()}", (piece for _ in range(size >> 20)))
    assert status == 201
    with urllib.request.urlopen(f"http://127.0.0.1:{port_of(server)}/v2/large/blobs/sha256:{whole.hexdigest()}") as answer:
        received = hashlib.sha256()
        while data := answer.read(1 << 20):
            received.update(data)
    assert received.hexdigest() == whole.hexdigest()
    assert resident() - before < 32 * 1024
