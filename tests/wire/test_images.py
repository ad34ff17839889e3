"""The image store through our own service and `watari images`."""

import json
import pathlib
import sys

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import layer_tar, make_layout, push  # noqa: E402


def push_image(server, tmp_path, name, content):
    layout = make_layout(str(tmp_path / content), layers=[layer_tar({"content": content.encode()}, applets=False)])
    push(layout, int(server.url.rsplit(":", 1)[1]), name)


def images(server):
    return {f"{i['repository']}:{i['tag']}": i for i in json.loads(server.watari("images", "--json").stdout)}


def test_images_are_listed_removed_and_pruned(fresh_server, tmp_path):
    server = fresh_server
    assert images(server) == {}
    assert "no images" in server.watari("images").stdout
    for name, content in (("web:1", "one"), ("web:2", "two"), ("other:1", "three")):
        push_image(server, tmp_path, name, content)
    listed = images(server)
    assert set(listed) == {"web:1", "web:2", "other:1"}
    assert listed["web:1"]["digest"].startswith("sha256:") and listed["web:1"]["sizeBytes"] > 0 and not listed["web:1"]["inUse"]
    table = server.watari("images").stdout.splitlines()
    assert table[0].split()[:2] == ["IMAGE", "DIGEST"] and len(table) == 4

    assert server.watari("images", "rm", "web:9", check=False).returncode == 1
    server.watari("images", "rm", "web:1")
    assert set(images(server)) == {"web:2", "other:1"}

    # Younger than a day: it stays.
    assert "removed 0 images" in server.watari("images", "prune").stdout
    digest = listed["web:1"]["digest"]
    assert requests.get(f"{server.url}/v2/web/manifests/{digest}", timeout=10).status_code == 200


def test_pruning_spares_what_task_definitions_need(fresh_server, tmp_path):
    server = fresh_server
    for name, content in (("web:1", "one"), ("old:1", "two")):
        push_image(server, tmp_path, name, content)
    before = images(server)
    server.client("ecs").register_task_definition(
        family="web", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
        containerDefinitions=[{"name": "web", "image": f"web@{before['web:1']['digest']}"}])
    assert images(server)["web:1"]["inUse"] and not images(server)["old:1"]["inUse"]
    for name in before:
        server.watari("images", "rm", name)

    pruned = signed(server, "PruneImages", dryRun=True, graceSeconds=0)
    assert pruned["manifests"] == [f"old@{before['old:1']['digest']}"]
    assert requests.get(f"{server.url}/v2/old/manifests/{before['old:1']['digest']}", timeout=10).status_code == 200
    pruned = signed(server, "PruneImages", graceSeconds=0)
    assert len(pruned["manifests"]) == 1 and len(pruned["blobs"]) == 3 and pruned["freedBytes"] > 0
    assert requests.get(f"{server.url}/v2/old/manifests/{before['old:1']['digest']}", timeout=10).status_code == 404
    assert requests.get(f"{server.url}/v2/web/manifests/{before['web:1']['digest']}", timeout=10).status_code == 200


def signed(server, operation, **members):
    """A call of our own service, signed with botocore."""
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    key, secret = server.keys
    request = botocore.awsrequest.AWSRequest("POST", server.url + "/", data=json.dumps(members), headers={"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"Watari.{operation}"})
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(key, secret), "watari", server.region).add_auth(request)
    answer = requests.post(request.url, data=request.data, headers=dict(request.headers), timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()
