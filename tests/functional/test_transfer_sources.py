"""Where images come from and in which form they go: mirrors, several platforms, what speaks about an image, logins, compressed pushes."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import make_layout, push  # noqa: E402
from server import Server, free_port  # noqa: E402
from upstream import INDEX, MANIFEST, Upstream, digest_of  # noqa: E402


def host(server):
    return server.url.removeprefix("http://")


def pull(server, source, *more, check=True, **environment):
    done = server.watari("images", "pull", "--root", server.root, source, "--json", *more, check=check, **environment)
    return json.loads(done.stdout) if check else done


def images_push(server, image, target, *more, check=True):
    done = server.watari("images", "push", "--root", server.root, image, target, "--json", *more, check=check)
    return json.loads(done.stdout) if check else done


def blobs_asked(upstream):
    return [path for path in upstream.asked if "/blobs/" in path]


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


@contextlib.contextmanager
def mirrored(count=1, **more):
    """An upstream, its mirrors with the same image below the prefix "copy", and a server that knows them."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        mirrors = [stack.enter_context(Upstream(like=upstream, **more)) for _ in range(count)]
        options = [word for mirror in mirrors for word in ("--registry-mirror", f"{upstream.host}={mirror.host}/copy")]
        yield upstream, mirrors, stack.enter_context(Server(*options))


def test_a_mirror_is_asked_first_and_alone():
    with mirrored(2) as (upstream, (first, second), server):
        done = pull(server, f"{upstream.host}/team/web:1")
        assert done["digest"] == digest_of(upstream.manifest)
        assert len(blobs_asked(first)) == 4 and all(path.startswith("/v2/copy/team/web/") for path in first.asked if path != "/v2/")
        assert not blobs_asked(second) and not blobs_asked(upstream)


def test_docker_pull_asks_mirrors_too():
    with mirrored(2) as (upstream, (first, second), server):
        first.faults = ["wrong", 404, 503, 503]
        for turn in range(2):  # as a docker command in a RUN step calls it
            done = requests.post(f"{server.url}/v1.43/images/create", params={"fromImage": f"{upstream.host}/team/web", "tag": "1"}, auth=server.keys, timeout=30)
            assert done.status_code == 200 and f"Digest: {digest_of(upstream.manifest)}" in done.text, done.text
            if turn == 0:
                assert blobs_asked(first) and all(path.startswith("/v2/copy/team/web/") for path in first.asked if path != "/v2/")
                assert blobs_asked(second) and not blobs_asked(upstream)


def test_the_next_source_takes_over_from_a_mirror_that_fails():
    with mirrored(2) as (upstream, (first, second), server):
        first.faults = ["wrong", 404, 503, 503]
        second.faults = ["wrong", "longer"]
        done = pull(server, f"{upstream.host}/team/web:1")
        assert done["digest"] == digest_of(upstream.manifest)
        for digest, data in upstream.blobs.items():
            assert (server.root / "images/blobs/sha256" / digest.removeprefix("sha256:")).read_bytes() == data
        assert blobs_asked(second) and "wrong bytes" in server.log_text()


def test_what_a_dying_mirror_has_sent_is_not_fetched_again():
    with mirrored() as (upstream, (mirror,), server):
        mirror.faults = ["reset"] * 3 + [503] * 30
        done = pull(server, f"{upstream.host}/team/web:1")
        assert done["digest"] == digest_of(upstream.manifest)
        assert upstream.ranges and all(first > 0 for first in upstream.ranges)


def test_a_mirror_that_is_down_or_lacks_the_image_costs_nothing_but_time():
    with Upstream() as upstream, Server("--registry-mirror", f"{upstream.host}=127.0.0.1:{free_port()}", "--registry-mirror", f"{upstream.host}=localhost:{free_port()}/x/y") as server:
        assert pull(server, f"{upstream.host}/team/web:1")["digest"] == digest_of(upstream.manifest)
        # A pull-through cache takes the same way.
        server.client("ecr").create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=upstream.host)
        assert requests.get(f"{server.url}/v2/far/team/web/manifests/1", timeout=60).content == upstream.manifest


def test_each_mirror_has_its_own_login():
    with mirrored(login="mirror:word", basic=True) as (upstream, (mirror,), server):
        server.client("ssm").put_parameter(Name=f"/watari/registries/{mirror.host.replace(':', '_')}", Value="mirror:word", Type="SecureString")
        pull(server, f"{upstream.host}/team/web:1", AWS_REGION=server.region)
        assert len(blobs_asked(mirror)) >= 4 and not blobs_asked(upstream)


@pytest.mark.parametrize("wrong", ["docker.io", "docker.io=https://mirror.example.com", "docker.io=mirror", "docker.io/x=mirror.example.com", "docker.io=mirror.example.com/"])
def test_a_mirror_that_is_none_is_refused_at_the_start(wrong, tmp_path):
    done = subprocess.run([*map(str, [pathlib.Path(os.environ.get("WATARI_BIN", pathlib.Path(__file__).resolve().parents[2] / "build/release/bin")) / "watari", "serve"]), "--root", tmp_path,
                           "--listen", "127.0.0.1:0", "--registry-mirror", wrong], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "names no mirror" in done.stderr and "docker.io=mirror.example.com/hub" in done.stderr


def test_a_token_that_ends_in_the_middle_is_asked_for_again():
    with Upstream(login="me:pass") as upstream, Server() as server:
        server.client("ssm").put_parameter(Name=f"/watari/registries/{upstream.host.replace(':', '_')}", Value="me:pass", Type="SecureString")
        upstream.faults = ["reset", "token ends", "reset"]
        assert pull(server, f"{upstream.host}/team/web:1", AWS_REGION=server.region)["digest"] == digest_of(upstream.manifest)
        assert not upstream.faults and upstream.tokens >= 2


def test_the_login_that_docker_has_stored_is_taken_over(server, tmp_path):
    with Upstream(login="me:pass:word", basic=True) as upstream:
        login = ["images", "login", "--root", server.root, upstream.host, "--docker-config"]
        docker = {"DOCKER_CONFIG": str(tmp_path), "AWS_REGION": server.region}
        assert "docker login" in server.watari(*login, check=False, **docker).stderr
        (tmp_path / "config.json").write_text(json.dumps({"auths": {}, "credHelpers": {upstream.host: "pass"}}))
        assert "docker-credential-pass" in server.watari(*login, check=False, **docker).stderr
        (tmp_path / "config.json").write_text(json.dumps({"auths": {upstream.host: {"auth": "bWU6cGFzczp3b3Jk"}}}))
        server.watari(*login, **docker)
        assert pull(server, f"{upstream.host}/team/web:1", AWS_REGION=server.region)["digest"] == digest_of(upstream.manifest)


def test_layers_that_come_compressed_over_the_line_are_stored_plain(server):
    with Upstream() as upstream:
        upstream.faults = ["zstd", "gzip", "zstd cut"]
        assert pull(server, f"{upstream.host}/team/encoded:1")["digest"] == digest_of(upstream.manifest)
        assert not upstream.faults and upstream.ranges  # what was cut off came as a part
        for digest, data in upstream.blobs.items():
            assert (server.root / "images/blobs/sha256" / digest.removeprefix("sha256:")).read_bytes() == data


def image_for(upstream, architecture):
    config = json.loads(next(data for data in upstream.blobs.values() if data.startswith(b"{")))
    described = upstream.add_blob(json.dumps(config | {"architecture": architecture}).encode(), "application/vnd.oci.image.config.v1+json")
    return upstream.add(json.loads(upstream.manifest) | {"config": described}) | {"platform": {"os": "linux", "architecture": architecture}}


def several_platforms(upstream, *architectures):
    return upstream.add({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image_for(upstream, each) for each in architectures]}, tag="many")


def test_an_index_keeps_its_digest_and_this_machines_image_runs(server, tmp_path):
    with Upstream() as upstream:
        index = several_platforms(upstream, "arm64", "amd64")
        done = pull(server, f"{upstream.host}/team/web:many", "--as", "multi:1")
        assert done["digest"] == index["digest"]
        arm, amd = [entry["digest"] for entry in json.loads(upstream.documents["many"])["manifests"]]
        for reference in ("1", index["digest"]):
            answer = requests.get(f"{server.url}/v2/multi/manifests/{reference}", timeout=30)
            assert answer.content == upstream.documents["many"] and answer.headers["content-type"] == INDEX
        assert requests.get(f"{server.url}/v2/multi/manifests/{amd}", timeout=30).status_code == 200
        assert requests.get(f"{server.url}/v2/multi/manifests/{arm}", timeout=30).status_code == 404
        (tmp_path / "Dockerfile").write_text(f"FROM multi@{index['digest']}\nCOPY Dockerfile /file\n")
        server.watari("build", "--root", server.root, tmp_path, "-t", "on-multi:1")
        # Another registry wants all of it.
        refused = images_push(server, "multi:1", f"{upstream.host}/x:1", check=False)
        assert refused.returncode == 1 and "--all-platforms" in refused.stderr
        pull(server, f"{upstream.host}/team/web:many", "--as", "multi:1", "--all-platforms")
        assert requests.get(f"{server.url}/v2/multi/manifests/{arm}", timeout=30).content == upstream.documents[arm]
    with Server() as other:
        images_push(server, "multi:1", f"{host(other)}/there:1")
        assert requests.get(f"{other.url}/v2/there/manifests/1", timeout=30).headers["docker-content-digest"] == index["digest"]
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--all", "--src-tls-verify=false", f"docker://{host(other)}/there:1", f"oci:{tmp_path}/copy:1"], check=True)


def test_pruning_leaves_an_index_that_is_named_by_its_digest_only(server):
    with Upstream() as upstream:
        index = several_platforms(upstream, "amd64", "s390x")
        pull(server, f"{upstream.host}/team/web:many", "--as", "pinned:1")
        server.client("ecs").register_task_definition(family="pinned", containerDefinitions=[{"name": "a", "image": f"pinned@{index['digest']}", "memory": 64}])
        server.watari("images", "rm", "--root", server.root, "pinned:1")
        server.own("PruneImages", graceSeconds=0)
        assert requests.get(f"{server.url}/v2/pinned/manifests/{index['digest']}", timeout=30).status_code == 200


def test_a_cache_fetches_the_other_platforms_when_somebody_asks(server, tmp_path):
    with Upstream() as upstream:
        index = several_platforms(upstream, "arm64", "amd64")
        server.client("ecr").create_pull_through_cache_rule(ecrRepositoryPrefix="platforms", upstreamRegistryUrl=upstream.host)
        place = f"docker://{host(server)}/platforms/team/web"
        answer = requests.get(f"{server.url}/v2/platforms/team/web/manifests/many", timeout=30)
        assert answer.headers["docker-content-digest"] == index["digest"]
        arm = json.loads(answer.content)["manifests"][0]["digest"]
        assert not any(arm in path for path in upstream.asked)
        subprocess.run(["skopeo", "--insecure-policy", "--override-arch", "arm64", "copy", "-q", "--src-tls-verify=false", f"{place}:many", f"dir:{tmp_path}/arm"], check=True)
        assert (tmp_path / "arm/manifest.json").read_bytes() == upstream.documents[arm]
        # An image that is not for this machine at all can be cached, too.
        upstream.documents["many"] = upstream.documents[several_platforms(upstream, "arm64")["digest"]]
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--all", "--src-tls-verify=false", f"{place}:many", f"oci:{tmp_path}/all:1"], check=True)
        refused = pull(server, f"{upstream.host}/team/web:many", check=False)
        assert refused.returncode == 1 and "linux/arm64" in refused.stderr


@pytest.mark.parametrize("by_tag", [False, True])
def test_what_speaks_about_an_image_comes_along(server, by_tag):
    with Upstream() as upstream:
        subject = {"mediaType": MANIFEST, "digest": digest_of(upstream.manifest), "size": len(upstream.manifest)}
        note = upstream.add_blob(b'{"packages": []}', "application/x.list")
        listed = upstream.add({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x.list", "config": upstream.add_blob(b"{}", "application/vnd.oci.empty.v1+json"),
                               "layers": [note], "subject": subject})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}
        if by_tag:
            upstream.add(index, tag=subject["digest"].replace(":", "-"))
        else:
            upstream.blobs[subject["digest"]] = json.dumps(index).encode()  # what …/referrers/<digest> ends in
        name = f"spoken/{'tag' if by_tag else 'api'}"
        pull(server, f"{upstream.host}/team/web:1", "--as", f"{name}:1")
        there = requests.get(f"{server.url}/v2/{name}/referrers/{subject['digest']}", timeout=30).json()["manifests"]
        assert [(entry["digest"], entry["artifactType"]) for entry in there] == [(listed["digest"], "application/x.list")]
        assert requests.get(f"{server.url}/v2/{name}/blobs/{note['digest']}", timeout=30).content == b'{"packages": []}'


def built(server, tmp_path, name, size=3_000_000):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "data").write_bytes(b"".join(os.urandom(500) + b"x" * 500 for _ in range(size // 1000)))
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")
    server.watari("build", "--root", server.root, tmp_path, "-t", name)
    return (tmp_path / "data").read_bytes()


@pytest.mark.parametrize("how", ["zstd", "gzip"])
def test_a_push_can_send_compressed_layers(server, tmp_path, how):
    data = built(server, tmp_path / "context", f"plain/{how}:1")
    plain = requests.get(f"{server.url}/v2/plain/{how}/manifests/1", timeout=30)
    with Server() as other:
        sent = images_push(server, f"plain/{how}:1", f"{host(other)}/there:1", "--compress", how)
        answer = requests.get(f"{other.url}/v2/there/manifests/1", timeout=30)
        assert answer.headers["docker-content-digest"] == sent["digest"] != plain.headers["docker-content-digest"]
        manifest = answer.json()
        assert manifest["annotations"] == {"watari.compressed-from": plain.headers["docker-content-digest"]}
        (layer,) = manifest["layers"]
        assert layer["mediaType"].endswith(how) and layer["size"] < 0.7 * plain.json()["layers"][0]["size"]
        # Real clients unpack it to the same files; what was sent is what is sent again.
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-decompress", f"docker://{host(other)}/there:1", f"dir:{tmp_path}/plain"], check=True)
        assert data in (tmp_path / "plain" / plain.json()["layers"][0]["digest"].removeprefix("sha256:")).read_bytes()
        assert images_push(server, f"plain/{how}:1", f"{host(other)}/again:1", "--compress", how)["digest"] == sent["digest"]
        (tmp_path / "context/Dockerfile").write_text("FROM there:1\nCOPY Dockerfile /more\n")
        other.watari("build", "--root", other.root, tmp_path / "context", "-t", "used:1")
    # Here the tag still leads to the plain one, and pruning takes the other.
    assert requests.get(f"{server.url}/v2/plain/{how}/manifests/1", timeout=30).content == plain.content
    assert any(sent["digest"] in gone for gone in server.own("PruneImages", graceSeconds=0)["manifests"])
    assert requests.get(f"{server.url}/v2/plain/{how}/blobs/{layer['digest']}", timeout=30).status_code == 404


def test_a_compressed_image_can_have_a_tag_of_its_own(server, tmp_path):
    built(server, tmp_path / "context", "shelf:1")
    done = json.loads(server.watari("images", "compress", "--root", server.root, "shelf:1", "--as", "shelf:1-zstd", "--json").stdout)
    manifest = requests.get(f"{server.url}/v2/shelf/manifests/1-zstd", timeout=30)
    assert manifest.headers["docker-content-digest"] == done["digest"] and manifest.json()["layers"][0]["mediaType"].endswith("+zstd")
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://{host(server)}/shelf:1-zstd", f"oci:{tmp_path}/copy:1"], check=True)
    push(make_layout(str(tmp_path / "packed")), int(server.url.rsplit(":", 1)[1]), "packed:1")
    same = json.loads(server.watari("images", "compress", "--root", server.root, "packed:1", "--as", "packed:2", "--json").stdout)
    assert same["digest"] == requests.get(f"{server.url}/v2/packed/manifests/1", timeout=30).headers["docker-content-digest"]


def kill_during(server, after, work):
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(after)
    server.kill()
    thread.join(60)
    server.start()
    assert not list((server.root / "images/tmp").iterdir())  # nothing half-done is left


def test_a_kill_during_a_compressed_push_leaves_a_whole_store(tmp_path):
    with Server() as server, Server() as other:
        built(server, tmp_path / "context", "web:1", 60_000_000)
        for wait in (0.05, 0.3, 0.6):
            kill_during(server, wait, lambda: images_push(server, "web:1", f"{host(other)}/web:1", "--compress", "zstd", check=False))
            for blob in (server.root / "images/blobs/sha256").iterdir():
                assert digest_of(blob.read_bytes()) == f"sha256:{blob.name}"
        wanted = images_push(server, "web:1", f"{host(other)}/web:1", "--compress", "zstd")["digest"]
        assert requests.get(f"{other.url}/v2/web/manifests/1", timeout=30).headers["docker-content-digest"] == wanted


def test_a_kill_during_a_pull_of_several_platforms_leaves_a_whole_store():
    with Upstream() as upstream, Server() as server:
        index = several_platforms(upstream, "arm64", "amd64", "s390x")
        for wait in (0.02, 0.06, 0.1, 0.15):
            kill_during(server, wait, lambda: pull(server, f"{upstream.host}/team/web:many", "--as", "multi:1", "--all-platforms", check=False))
            # A tag leads to all of it, or is not there.
            answer = requests.get(f"{server.url}/v2/multi/manifests/1", timeout=30)
            for entry in answer.json()["manifests"] if answer.status_code == 200 else []:
                inner = requests.get(f"{server.url}/v2/multi/manifests/{entry['digest']}", timeout=30)
                assert inner.status_code == 200
                for blob in inner.json()["layers"]:
                    assert digest_of(requests.get(f"{server.url}/v2/multi/blobs/{blob['digest']}", timeout=30).content) == blob["digest"]
            server.watari("images", "rm", "--root", server.root, "multi:1", check=False)
            server.own("PruneImages", graceSeconds=0)
        assert pull(server, f"{upstream.host}/team/web:many", "--as", "multi:1", "--all-platforms")["digest"] == index["digest"]
