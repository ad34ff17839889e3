"""ECR through boto3, and a login with the token it gives."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import boto3
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
    assert [each.get("imageTag") for each in ecr.list_images(repositoryName="fixed")["imageIds"]] == ["1"]  # nothing is left of what was refused
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


def test_some_tags_may_be_left_out_of_immutability(ecr, server, tmp_path):
    made = ecr.create_repository(repositoryName="mixed", imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
                                 imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}])["repository"]
    assert made["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert made["imageTagMutabilityExclusionFilters"] == [{"filterType": "WILDCARD", "filter": "dev-*"}]
    for tag in ("dev-1", "v1"):
        push_image(server, tmp_path, f"mixed:{tag}", "one")
    push_image(server, tmp_path, "mixed:dev-1", "two")
    with pytest.raises(subprocess.CalledProcessError):
        push_image(server, tmp_path, "mixed:v1", "two")
    manifest = ecr.batch_get_image(repositoryName="mixed", imageIds=[{"imageTag": "dev-1"}])["images"][0]["imageManifest"]
    fails("ImageTagAlreadyExistsException", ecr.put_image, repositoryName="mixed", imageTag="v1", imageManifest=manifest)
    ecr.put_image_tag_mutability(repositoryName="mixed", imageTagMutability="MUTABLE_WITH_EXCLUSION",
                                 imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "release-*"}])
    push_image(server, tmp_path, "mixed:v1", "two")
    push_image(server, tmp_path, "mixed:release-1", "one")
    with pytest.raises(subprocess.CalledProcessError):
        push_image(server, tmp_path, "mixed:release-1", "two")
    fails("InvalidParameterException", ecr.put_image_tag_mutability, repositoryName="mixed", imageTagMutability="IMMUTABLE_WITH_EXCLUSION")
    fails("InvalidParameterException", ecr.put_image_tag_mutability, repositoryName="mixed", imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
          imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "a*b*c*"}])


def deny(*actions, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "no", "Effect": "Deny", "Principal": "*", "Action": list(actions), **more}]})


def test_a_policy_denies_in_the_api_and_the_registry(ecr, server, tmp_path):
    push_image(server, tmp_path, "guarded:1", "guarded")
    fails("RepositoryPolicyNotFoundException", ecr.get_repository_policy, repositoryName="guarded")
    policy = deny("ecr:PutImage", "ecr:BatchGet*")
    ecr.set_repository_policy(repositoryName="guarded", policyText=policy)
    assert ecr.get_repository_policy(repositoryName="guarded")["policyText"] == policy
    message = fails("AccessDeniedException", ecr.batch_get_image, repositoryName="guarded", imageIds=[{"imageTag": "1"}])
    assert "ecr:BatchGetImage" in message and "repository/guarded" in message
    assert requests.get(f"{server.url}/v2/guarded/manifests/1", timeout=10).status_code == 403
    assert requests.get(f"{server.url}/v2/guarded/tags/list", timeout=10).json()["tags"] == ["1"]
    with pytest.raises(subprocess.CalledProcessError):
        push_image(server, tmp_path, "guarded:2", "other")
    ecr.delete_repository_policy(repositoryName="guarded")
    push_image(server, tmp_path, "guarded:2", "other")
    # Only without encryption; this client comes in plain.
    ecr.set_repository_policy(repositoryName="guarded", policyText=deny("ecr:*", Condition={"Bool": {"aws:SecureTransport": "false"}}), force=True)
    fails("AccessDeniedException", ecr.describe_images, repositoryName="guarded")
    ecr.delete_repository_policy(repositoryName="guarded")
    ecr.set_repository_policy(repositoryName="guarded", policyText=deny("ecr:*").replace('"*"', '{"AWS": "arn:aws:iam::999999999999:root"}'))
    assert ecr.describe_images(repositoryName="guarded")["imageDetails"]


@pytest.mark.parametrize("text, says", [
    ("{", "JSON"), ('{"Version": "2012-10-17", "Statement": []}', "Statement"), (deny("s3:GetObject"), "s3:GetObject"),
    (deny("ecr:*", Resource="*"), "Resource"), (deny("ecr:PutImage", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), "IpAddress"),
    (deny("ecr:PutImage", Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}), "aws:SourceVpc"), (deny("ecr:*"), "--force"),
])
def test_policies_that_could_not_be_enforced_are_refused(ecr, text, says):
    try:
        ecr.create_repository(repositoryName="strict")
    except ecr.exceptions.RepositoryAlreadyExistsException:
        pass
    assert says in fails("InvalidParameterException", ecr.set_repository_policy, repositoryName="strict", policyText=text)


def lifecycle(*rules):
    return json.dumps({"rules": [{"rulePriority": number, "description": "of a test", "selection": selection, "action": {"type": "expire"}}
                                 for number, selection in enumerate(rules, 1)]})


def test_a_lifecycle_policy_is_previewed_and_expires_images(ecr, server, tmp_path):
    for number in range(4):
        push_image(server, tmp_path, f"aging:v{number}", f"v{number}")
        time.sleep(0.02)
    push_image(server, tmp_path, "aging:keep", "keep")
    untagged = ecr.batch_get_image(repositoryName="aging", imageIds=[{"imageTag": "v0"}])["images"][0]["imageId"]["imageDigest"]
    push_image(server, tmp_path, "aging:v0", "v0 again")  # the first v0 is untagged now
    policy = lifecycle({"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
                       {"tagStatus": "tagged", "tagPrefixList": ["v"], "countType": "imageCountMoreThan", "countNumber": 2},
                       {"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 30})
    fails("LifecyclePolicyNotFoundException", ecr.get_lifecycle_policy, repositoryName="aging")
    fails("LifecyclePolicyPreviewNotFoundException", ecr.get_lifecycle_policy_preview, repositoryName="aging")
    ecr.start_lifecycle_policy_preview(repositoryName="aging", lifecyclePolicyText=policy)
    ecr.get_waiter("lifecycle_policy_preview_complete").wait(repositoryName="aging")
    preview = ecr.get_lifecycle_policy_preview(repositoryName="aging")
    assert preview["summary"]["expiringImageTotalCount"] == 2
    assert {result["imageTags"][0] for result in preview["previewResults"]} == {"v1", "v2"}
    assert {result["appliedRulePriority"] for result in preview["previewResults"]} == {2}
    assert len(ecr.describe_images(repositoryName="aging")["imageDetails"]) == 6  # a preview removes nothing
    ecr.put_lifecycle_policy(repositoryName="aging", lifecyclePolicyText=policy)
    deadline = time.monotonic() + 30
    while ecr.get_lifecycle_policy(repositoryName="aging")["lastEvaluatedAt"].year < 2024 and time.monotonic() < deadline:
        time.sleep(0.05)
    left = ecr.describe_images(repositoryName="aging")["imageDetails"]
    assert sorted(tag for image in left for tag in image.get("imageTags", [])) == ["keep", "v0", "v3"]
    assert untagged in {image["imageDigest"] for image in left}
    assert ecr.get_lifecycle_policy(repositoryName="aging")["lifecyclePolicyText"] == policy
    ecr.delete_lifecycle_policy(repositoryName="aging")
    fails("LifecyclePolicyNotFoundException", ecr.get_lifecycle_policy, repositoryName="aging")


def test_lifecycle_policies_that_cannot_be_carried_out_are_refused(ecr):
    ecr.create_repository(repositoryName="picky")
    good = {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5}
    for bad, says in (({**good, "tagStatus": "tagged"}, "tagPrefixList"), ({**good, "countType": "sinceImagePulled"}, "sinceImagePulled"),
                      ({**good, "countNumber": 0}, "countNumber"), ({**good, "countUnit": "days"}, "countUnit"), ({**good, "tagPrefixList": ["a"]}, "tagged")):
        assert says in fails("InvalidParameterException", ecr.put_lifecycle_policy, repositoryName="picky", lifecyclePolicyText=lifecycle(bad))
    assert "any" in fails("InvalidParameterException", ecr.put_lifecycle_policy, repositoryName="picky", lifecyclePolicyText=lifecycle({**good, "tagStatus": "any"}, good))
    fails("LifecyclePolicyNotFoundException", ecr.start_lifecycle_policy_preview, repositoryName="picky")


def test_layers_go_up_and_down_by_the_api(ecr, server):
    ecr.create_repository(repositoryName="parts")
    layer = os.urandom(3_000_000)
    digest = "sha256:" + hashlib.sha256(layer).hexdigest()
    seen = ecr.batch_check_layer_availability(repositoryName="parts", layerDigests=[digest, "nonsense"])
    assert seen["layers"][0]["layerAvailability"] == "UNAVAILABLE" and seen["failures"][0]["failureCode"] == "InvalidLayerDigest"
    started = ecr.initiate_layer_upload(repositoryName="parts")
    upload, size = started["uploadId"], 2_000_000
    fails("EmptyUploadException", ecr.complete_layer_upload, repositoryName="parts", uploadId=upload, layerDigests=[digest])
    assert ecr.upload_layer_part(repositoryName="parts", uploadId=upload, partFirstByte=0, partLastByte=size - 1, layerPartBlob=layer[:size])["lastByteReceived"] == size - 1
    fails("InvalidLayerPartException", ecr.upload_layer_part, repositoryName="parts", uploadId=upload, partFirstByte=5, partLastByte=9, layerPartBlob=b"12345")
    ecr.upload_layer_part(repositoryName="parts", uploadId=upload, partFirstByte=size, partLastByte=len(layer) - 1, layerPartBlob=layer[size:])
    assert ecr.complete_layer_upload(repositoryName="parts", uploadId=upload, layerDigests=[digest])["layerDigest"] == digest
    fails("UploadNotFoundException", ecr.complete_layer_upload, repositoryName="parts", uploadId=upload, layerDigests=[digest])
    again = ecr.initiate_layer_upload(repositoryName="parts")["uploadId"]
    ecr.upload_layer_part(repositoryName="parts", uploadId=again, partFirstByte=0, partLastByte=2, layerPartBlob=b"abc")
    fails("InvalidLayerException", ecr.complete_layer_upload, repositoryName="parts", uploadId=again, layerDigests=["sha256:" + "0" * 64])
    url = ecr.get_download_url_for_layer(repositoryName="parts", layerDigest=digest)["downloadUrl"]
    foreign = {"Host": "elsewhere.example.com"}  # nobody local: the URL alone is the permission
    assert requests.get(url, headers=foreign, timeout=30).content == layer
    assert requests.get(url.replace(digest, "sha256:" + "1" * 64), headers=foreign, timeout=30).status_code == 401
    assert requests.delete(url, headers=foreign, timeout=30).status_code == 401
    fails("LayersNotFoundException", ecr.get_download_url_for_layer, repositoryName="parts", layerDigest="sha256:" + "1" * 64)
    assert ecr.describe_registry()["replicationConfiguration"] == {"rules": []}


def test_a_role_is_judged_in_the_registry_by_its_token(ecr, server, tmp_path):
    push_image(server, tmp_path, "shared:1", "shared")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    role = server.client("iam").create_role(RoleName="deployer", Path="/teams/", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    keys = server.client("sts").assume_role(RoleArn=role, RoleSessionName="ci")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=server.region)
    password = session.client("ecr", endpoint_url=server.url).get_authorization_token()["authorizationData"][0]["authorizationToken"]
    as_role = {"Authorization": f"Basic {password}"}
    as_root = {"Authorization": "Basic " + ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]}
    manifest, tags = f"{server.url}/v2/shared/manifests/1", f"{server.url}/v2/shared/tags/list"
    get = lambda url, who: requests.get(url, headers=who, timeout=10).status_code  # noqa: E731
    assert get(manifest, as_role) == get(manifest, as_root) == 200
    for statement in (deny("ecr:BatchGetImage").replace('"*"', json.dumps({"AWS": role})),
                      deny("ecr:BatchGetImage", Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/deployer"}}),
                      deny("ecr:BatchGetImage").replace('"*"', '{"AWS": "arn:aws:sts::123456789012:assumed-role/deployer/ci"}'),
                      deny("ecr:BatchGetImage").replace('"Principal": "*"', '"NotPrincipal": {"AWS": "arn:aws:iam::123456789012:role/other"}')):
        ecr.set_repository_policy(repositoryName="shared", policyText=statement, force=True)
        assert get(manifest, as_role) == 403, statement
        if "NotPrincipal" not in statement:
            assert get(manifest, as_root) == get(manifest, {}) == 200, statement
        assert get(tags, as_role) == 200, statement
    ecr.set_repository_policy(repositoryName="shared", policyText=deny("ecr:BatchGetImage").replace('"*"', json.dumps({"AWS": role})))
    refused = requests.get(manifest, headers={**as_role, "Host": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com"}, timeout=10)
    assert refused.status_code == 403 and refused.json()["errors"][0]["code"] == "DENIED"
    # What the API hands out a URL for has been judged there.
    layer = json.loads(requests.get(manifest, timeout=10).content)["layers"][0]["digest"]
    url = session.client("ecr", endpoint_url=server.url).get_download_url_for_layer(repositoryName="shared", layerDigest=layer)["downloadUrl"]
    ecr.set_repository_policy(repositoryName="shared", policyText=deny("ecr:GetDownloadUrlForLayer"))
    assert get(url, {"Host": "elsewhere.example.com"}) == 200
    assert get(f"{server.url}/v2/shared/blobs/{layer}", as_root) == 403


def test_what_a_policy_denies_cannot_be_had_through_another_repository(ecr, server, tmp_path):
    push_image(server, tmp_path, "closed:1", "closed")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    role = server.client("iam").create_role(RoleName="curious", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    keys = server.client("sts").assume_role(RoleArn=role, RoleSessionName="ci")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=server.region)
    theirs = session.client("ecr", endpoint_url=server.url)
    who = {"Authorization": "Basic " + theirs.get_authorization_token()["authorizationData"][0]["authorizationToken"]}
    text = requests.get(f"{server.url}/v2/closed/manifests/1", timeout=10)
    manifest = json.loads(text.content)
    layer, config = manifest["layers"][0]["digest"], manifest["config"]["digest"]
    ecr.create_repository(repositoryName="mine")
    blob = f"{server.url}/v2/mine/blobs/{layer}"
    ask = lambda method, url, **more: requests.request(method, url, headers={**who, **more.pop("headers", {})}, timeout=10, **more)  # noqa: E731
    ecr.set_repository_policy(repositoryName="closed", policyText=deny("ecr:GetDownloadUrlForLayer").replace('"*"', json.dumps({"AWS": role})))

    assert ask("GET", blob).status_code == ask("HEAD", blob).status_code == 404
    assert ask("GET", f"{server.url}/v2/mine/blobs/{text.headers['docker-content-digest']}").status_code == 404  # the manifest is a blob, too
    # A layer that was made here can be asked for by its diff id, which only the config of the compressed image names.
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    server.watari("build", "-t", "plain:1", tmp_path)
    made = json.loads(requests.get(f"{server.url}/v2/plain/manifests/1", timeout=10).content)["layers"][0]["digest"]
    server.watari("images", "compress", "plain:1", "--as", "closed:small")
    ecr.delete_repository(repositoryName="plain", force=True)
    assert requests.get(f"{server.url}/v2/mine/blobs/{made}", timeout=10).status_code == 200
    assert ask("GET", f"{server.url}/v2/mine/blobs/{made}").status_code == 404
    assert ask("POST", f"{server.url}/v2/mine/blobs/uploads/?mount={layer}&from=closed").status_code == 202  # begins an upload instead
    put = lambda: ask("PUT", f"{server.url}/v2/mine/manifests/1", data=text.content, headers={"Content-Type": text.headers["content-type"]})  # noqa: E731
    assert put().json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    assert theirs.batch_check_layer_availability(repositoryName="mine", layerDigests=[layer])["layers"][0]["layerAvailability"] == "UNAVAILABLE"
    fails("LayersNotFoundException", theirs.get_download_url_for_layer, repositoryName="mine", layerDigest=layer)
    fails("LayersNotFoundException", theirs.put_image, repositoryName="mine", imageManifest=text.text, imageTag="1")
    assert requests.get(blob, timeout=10).status_code == 200  # root is not denied

    # Who has the bytes may push them; then they are in that repository, for everybody.
    for digest in (layer, config):
        bytes_ = requests.get(f"{server.url}/v2/closed/blobs/{digest}", timeout=10).content
        assert ask("POST", f"{server.url}/v2/mine/blobs/uploads/?digest={digest}", data=bytes_).status_code == 201
    assert put().status_code == 201
    assert ask("GET", blob).status_code == 200
    assert ask("GET", f"{server.url}/v2/closed/blobs/{layer}").status_code == 403
    assert ask("GET", f"{server.url}/v2/third/blobs/{layer}").status_code == 200  # another repository that has it is open


def test_pushes_that_nobody_goes_on_with_are_removed(server):
    upload = requests.post(f"{server.url}/v2/left/blobs/uploads/", timeout=10).headers["location"]
    assert requests.patch(f"{server.url}{upload}", data=b"begun", timeout=10).status_code == 202
    old = requests.post(f"{server.url}/v2/left/blobs/uploads/", timeout=10).headers["location"]
    place = server.root / "images/uploads" / old.rsplit("/", 1)[1]
    for path in (place / "data", place):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    server.own("PruneImages", graceSeconds=3600)
    assert requests.get(f"{server.url}{upload}", timeout=10).status_code == 204
    assert requests.get(f"{server.url}{old}", timeout=10).status_code == 404 and not place.exists()
