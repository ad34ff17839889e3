"""HTTPS with the server's own authority: AWS tools and registry clients that insist on it."""
import json
import os
import pathlib
import ssl
import stat
import subprocess
import sys
import urllib.request

import boto3
import botocore.exceptions
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import make_layout, push  # noqa: E402
from ecr_name import EcrServer  # noqa: E402
from server import Server  # noqa: E402


@pytest.fixture(scope="module")
def server():
    with EcrServer() as running:
        yield running


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return make_layout(str(tmp_path_factory.mktemp("layout")))


def environment_of(server):
    return json.loads(server.watari("env", "--root", server.root, "--json").stdout)


def test_boto3_reaches_the_apis_by_https_and_only_with_the_authority(server):
    told = environment_of(server)
    key, secret = server.keys
    session = boto3.Session(key, secret, region_name=server.region)
    url = told["WATARI_HTTPS_URL"]
    assert url == server.url.replace("http://", "https://")
    for verify in (told["AWS_CA_BUNDLE"], str(server.root / "ca.pem")):
        assert session.client("ecs", endpoint_url=url, verify=verify).list_clusters()["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert session.client("ecs", endpoint_url=url.replace("127.0.0.1", "localhost"), verify=verify).list_clusters()
    with pytest.raises(botocore.exceptions.SSLError):
        session.client("ecs", endpoint_url=url).list_clusters()


def test_our_own_command_line_speaks_https(server):
    told = environment_of(server)
    done = server.watari("images", AWS_ENDPOINT_URL=told["WATARI_HTTPS_URL"], AWS_CA_BUNDLE=told["AWS_CA_BUNDLE"])
    assert done.returncode == 0
    assert server.watari("images", check=False, AWS_ENDPOINT_URL=told["WATARI_HTTPS_URL"]).returncode == 1


def test_the_authority_stays_and_every_server_has_its_own():
    with Server() as one, Server() as two:
        first = (one.root / "ca.pem").read_text()
        assert first != (two.root / "ca.pem").read_text()
        assert stat.S_IMODE(os.stat(one.root / "ca.key").st_mode) == 0o600
        one.kill()
        one.start()
        assert (one.root / "ca.pem").read_text() == first
        context = ssl.create_default_context(cafile=one.root / "ca.pem")
        urllib.request.urlopen(one.url.replace("http", "https") + "/healthz", context=context).read()
        with pytest.raises(OSError):
            urllib.request.urlopen(two.url.replace("http", "https") + "/healthz", context=context)


def test_skopeo_logs_in_pushes_and_pulls_under_the_name_of_ecr(server, layout, tmp_path):
    image = f"docker://{server.registry}/team/web:1"
    auth = tmp_path / "auth.json"
    copy = ["skopeo", "--insecure-policy", "copy", "--authfile", auth]
    assert server.named([*copy, layout, image], check=False).returncode != 0  # nobody is local by this name
    server.named(["skopeo", "login", "--authfile", auth, "--username", "AWS", "--password", server.password(), server.registry])
    server.named([*copy, layout, image])
    server.named([*copy, image, f"dir:{tmp_path}/pulled"])
    config = json.loads((tmp_path / "pulled/manifest.json").read_text())["config"]["digest"]
    assert (tmp_path / "pulled" / config.removeprefix("sha256:")).exists()
    # The same image, whatever it is called.
    plain = subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{server.url.removeprefix('http://')}/team/web:1"],
                           capture_output=True, text=True, check=True)
    assert json.loads(plain.stdout)["RepoTags"] == ["1"]


def test_who_comes_by_the_aws_name_is_sent_back_to_it(server):
    script = "import boto3, json; ecr = boto3.client('ecr'); print(json.dumps([ecr.create_repository(repositoryName='named')['repository']['repositoryUri'], " \
             "ecr.get_authorization_token()['authorizationData'][0]['proxyEndpoint']]))"
    named = json.loads(server.named([sys.executable, "-c", script], AWS_ENDPOINT_URL="").stdout)
    assert named == [f"{server.registry}/named", f"https://{server.registry}"]
    ecr = server.client("ecr")
    assert ecr.describe_repositories(repositoryNames=["named"])["repositories"][0]["repositoryUri"] == server.url.removeprefix("http://") + "/named"
    assert ecr.get_authorization_token()["authorizationData"][0]["proxyEndpoint"] == server.url


def test_a_task_definition_may_name_the_image_as_ecr_does(server, layout):
    push(layout, int(server.url.rsplit(":", 1)[1]), "named/task:1")
    ecs = server.client("ecs")
    subnets = [subnet["SubnetId"] for subnet in server.client("ec2").describe_subnets()["Subnets"]]
    definition = ecs.register_task_definition(family="named", containerDefinitions=[
        {"name": "app", "image": f"{server.registry}/named/task:1", "memory": 64, "command": ["sh", "-c", "exit 5"]}])["taskDefinition"]
    task = ecs.run_task(taskDefinition=definition["taskDefinitionArn"], networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}})["tasks"][0]
    ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"][0]["containers"][0]["exitCode"] == 5


def test_a_second_server_says_that_the_address_is_taken(server):
    with pytest.raises(AssertionError, match="--https-listen"):
        with Server("--https-listen", f"{server.address}:443"):
            pass
