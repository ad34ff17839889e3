"""ECR through boto3, and a login with the token it gives."""

import base64
import json
import pathlib
import subprocess
import sys

import botocore.exceptions
import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import layer_tar, make_layout, push  # noqa: E402


@pytest.fixture(scope="module")
def ecr(server):
    return server.client("ecr")


def port_of(server):
    return int(server.url.rsplit(":", 1)[1])


def push_image(server, tmp_path, name, content):
    push(make_layout(str(tmp_path / content), layers=[layer_tar({"content": content.encode()}, applets=False)]), port_of(server), name)


def fails(code, call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == code
    return caught.value.response["Error"]["Message"]


def test_a_repository_lives_and_ends(ecr, server):
    made = ecr.create_repository(repositoryName="team/life", tags=[{"Key": "owner", "Value": "me"}])["repository"]
    assert made["repositoryArn"].endswith(":repository/team/life") and made["imageTagMutability"] == "MUTABLE"
    assert made["repositoryUri"] == f"127.0.0.1:{port_of(server)}/team/life"
    fails("RepositoryAlreadyExistsException", ecr.create_repository, repositoryName="team/life")
    fails("InvalidParameterException", ecr.create_repository, repositoryName="Team")
    assert [r["repositoryName"] for r in ecr.describe_repositories(repositoryNames=["team/life"])["repositories"]] == ["team/life"]
    assert "team/life" in [r["repositoryName"] for page in ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 1}) for r in page["repositories"]]
    ecr.tag_resource(resourceArn=made["repositoryArn"], tags=[{"Key": "stage", "Value": "test"}])
    ecr.untag_resource(resourceArn=made["repositoryArn"], tagKeys=["owner"])
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "stage", "Value": "test"}]
    assert requests.get(f"{server.url}/v2/team/life/tags/list", timeout=10).json() == {"name": "team/life", "tags": []}
    ecr.delete_repository(repositoryName="team/life")
    fails("RepositoryNotFoundException", ecr.describe_repositories, repositoryNames=["team/life"])


def test_pushed_images_are_listed_fetched_and_deleted(ecr, server, tmp_path):
    push_image(server, tmp_path, "web:1", "one")
    push_image(server, tmp_path, "web:latest", "one")
    push_image(server, tmp_path, "web:2", "two")
    ids = ecr.list_images(repositoryName="web")["imageIds"]
    assert {i["imageTag"] for i in ids} == {"1", "latest", "2"}
    detail = ecr.describe_images(repositoryName="web", imageIds=[{"imageTag": "1"}])["imageDetails"][0]
    assert sorted(detail["imageTags"]) == ["1", "latest"] and detail["imageSizeInBytes"] > 0 and detail["imagePushedAt"].year >= 2024
    assert len(ecr.describe_images(repositoryName="web")["imageDetails"]) == 2
    fails("ImageNotFoundException", ecr.describe_images, repositoryName="web", imageIds=[{"imageTag": "9"}])
    got = ecr.batch_get_image(repositoryName="web", imageIds=[{"imageTag": "1"}, {"imageTag": "9"}])
    assert json.loads(got["images"][0]["imageManifest"])["schemaVersion"] == 2
    assert got["failures"][0]["failureCode"] == "ImageNotFound"
    assert not ecr.batch_get_image(repositoryName="web", imageIds=[{"imageTag": "1"}], acceptedMediaTypes=["text/plain"])["images"]
    put = ecr.put_image(repositoryName="web", imageManifest=got["images"][0]["imageManifest"], imageTag="again")
    assert put["image"]["imageId"]["imageDigest"] == detail["imageDigest"]
    fails("ImageAlreadyExistsException", ecr.put_image, repositoryName="web", imageManifest=got["images"][0]["imageManifest"], imageTag="again")
    fails("RepositoryNotEmptyException", ecr.delete_repository, repositoryName="web")
    ecr.batch_delete_image(repositoryName="web", imageIds=[{"imageTag": "again"}])
    assert sorted(ecr.describe_images(repositoryName="web", imageIds=[{"imageTag": "1"}])["imageDetails"][0]["imageTags"]) == ["1", "latest"]
    gone = ecr.batch_delete_image(repositoryName="web", imageIds=[{"imageDigest": detail["imageDigest"]}, {"imageTag": "9"}])
    assert {i["imageTag"] for i in gone["imageIds"]} == {"1", "latest"} and len(gone["failures"]) == 1
    assert [i["imageTag"] for i in ecr.list_images(repositoryName="web")["imageIds"]] == ["2"]
    ecr.delete_repository(repositoryName="web", force=True)
    fails("RepositoryNotFoundException", ecr.list_images, repositoryName="web")


def test_immutable_tags_stay_where_they_are(ecr, server, tmp_path):
    ecr.create_repository(repositoryName="fixed", imageTagMutability="IMMUTABLE")
    push_image(server, tmp_path, "fixed:1", "first")
    push_image(server, tmp_path, "fixed:1", "first")
    with pytest.raises(subprocess.CalledProcessError):
        push_image(server, tmp_path, "fixed:1", "second")
    ecr.put_image_tag_mutability(repositoryName="fixed", imageTagMutability="MUTABLE")
    push_image(server, tmp_path, "fixed:1", "second")


def test_the_token_logs_in(ecr, server):
    data = ecr.get_authorization_token()["authorizationData"][0]
    assert data["proxyEndpoint"] == server.url
    user, password = base64.b64decode(data["authorizationToken"]).decode().split(":", 1)
    assert user == "AWS"
    foreign = {"Host": "registry.example.com"}
    assert requests.get(f"{server.url}/v2/", headers=foreign, timeout=10).status_code == 401
    assert requests.get(f"{server.url}/v2/", headers=foreign, auth=(user, password), timeout=10).status_code == 200
    assert requests.get(f"{server.url}/v2/", headers=foreign, auth=(user, password[:-1] + "x"), timeout=10).status_code == 401


def test_the_aws_cli_gets_a_password(server, tmp_path):
    done = server.aws("ecr", "get-login-password", check=False)
    assert done.returncode == 0, done.stderr
    authfile = tmp_path / "auth.json"
    logged = subprocess.run(["skopeo", "login", "--authfile", str(authfile), "--tls-verify=false", "-u", "AWS", "--password-stdin", f"127.0.0.1:{port_of(server)}"],
                            input=done.stdout, capture_output=True, text=True)
    assert logged.returncode == 0, logged.stderr
