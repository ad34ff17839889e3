"""Images from and to other registries: a second server, and one that fails in every way a network can."""
import json
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import make_layout, push  # noqa: E402
from server import Server  # noqa: E402
from upstream import Upstream, digest_of  # noqa: E402


def port_of(server):
    return int(server.url.rsplit(":", 1)[1])


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def pull(server, source, *more, check=True, **environment):
    return server.watari("images", "pull", "--root", server.root, source, "--json", *more, check=check, **environment)


def blobs_of(server):
    return {entry.name for entry in (server.root / "images/blobs/sha256").iterdir()}


def test_an_image_goes_to_another_server_and_comes_back(server, tmp_path):
    push(make_layout(str(tmp_path / "image")), port_of(server), "travel/web:1")
    with Server() as other:
        done = json.loads(server.watari("images", "push", "--root", server.root, "travel/web:1", f"127.0.0.1:{port_of(other)}/moved/web:2", "--json").stdout)
        names = [f"{image['repository']}:{image['tag']}" for image in json.loads(other.watari("images", "--root", other.root, "--json").stdout)]
        assert names == ["moved/web:2"]
        again = json.loads(pull(server, f"127.0.0.1:{port_of(other)}/moved/web:2", "--as", "back/web:3").stdout)
        assert again["digest"] == done["digest"] and again["image"] == "back/web:3"
        # What was built here has no blob: its tar is made while it is sent.
        server.watari("base", "build", "--root", server.root, "tiny", "--from", "busybox")
        built = json.loads(server.watari("images", "push", "--root", server.root, "tiny:latest", f"127.0.0.1:{port_of(other)}/tiny:1", "--json").stdout)
        pulled = json.loads(pull(other, f"127.0.0.1:{port_of(other)}/tiny:1", "--as", "self:1").stdout)
        assert pulled["digest"] == built["digest"]
    gone = pull(server, f"127.0.0.1:{port_of(server)}/nothing:1", check=False)
    assert gone.returncode == 1 and "404" in gone.stderr


def test_a_transfer_goes_on_where_it_broke_off(server):
    with Upstream() as upstream:
        upstream.faults = ["reset", "reset", 500, "reset", 429, "reset", "no ranges", 503]
        done = json.loads(pull(server, f"{upstream.host}/team/flaky:1").stdout)
        assert done["digest"] == digest_of(upstream.manifest) and not upstream.faults
        assert upstream.ranges and all(first > 0 for first in upstream.ranges)
        for digest, data in upstream.blobs.items():
            assert (server.root / "images/blobs/sha256" / digest.removeprefix("sha256:")).read_bytes() == data


@pytest.mark.parametrize("fault, says", [("wrong", "wrong bytes"), ("longer", "more than"), (404, "404"), (403, "403")])
def test_what_is_not_what_was_promised_leaves_nothing_behind(server, fault, says):
    with Upstream() as upstream:
        upstream.faults = [fault] * 6
        done = pull(server, f"{upstream.host}/team/bad:1", check=False)
        assert done.returncode == 1 and says in done.stderr, done.stderr
        assert not {digest_of(layer).removeprefix("sha256:") for layer in upstream.layers[:1]} & blobs_of(server)
        assert digest_of(upstream.manifest).removeprefix("sha256:") not in blobs_of(server)
        assert not list((server.root / "images/tmp").iterdir())
        assert "team/bad" not in server.watari("images", "--root", server.root).stdout


def test_a_registry_that_wants_a_token_gets_the_stored_login(server):
    with Upstream(login="me:secret:word") as upstream:
        refused = pull(server, f"{upstream.host}/team/web:1", check=False)
        assert refused.returncode == 1 and "watari images login" in refused.stderr
        name = f"/watari/registries/{upstream.host.replace(':', '_')}"
        server.client("ssm").put_parameter(Name=name, Value="me:secret:word", Type="SecureString")
        assert json.loads(pull(server, f"{upstream.host}/team/web:1", AWS_REGION=server.region).stdout)["image"] == "team/web:1"
        assert upstream.tokens >= 2
        assert "secret" not in server.log_text()


def test_references_without_a_registry_are_refused_with_words(server):
    done = pull(server, "web:1", check=False)
    assert done.returncode == 1 and "begin with the registry" in done.stderr


def test_a_rule_fills_repositories_from_another_registry(server, tmp_path):
    ecr = server.client("ecr")
    with Upstream(login="me:pass") as upstream:
        made = ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=upstream.host)
        assert made["upstreamRegistryUrl"] == upstream.host and made["upstreamRepositoryPrefix"] == "ROOT"
        with pytest.raises(ecr.exceptions.PullThroughCacheRuleAlreadyExistsException):
            ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=upstream.host)
        with pytest.raises(ecr.exceptions.UnsupportedUpstreamRegistryException):
            ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="bad", upstreamRegistryUrl="no registry")
        refused = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="far")
        assert refused["isValid"] is False and refused["failure"]
        server.client("ssm").put_parameter(Name=f"/watari/registries/{upstream.host.replace(':', '_')}", Value="me:pass", Type="SecureString")
        place = f"docker://127.0.0.1:{port_of(server)}/far/team/web"
        copy = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false"]
        subprocess.run([*copy, f"{place}:1", f"dir:{tmp_path}/one"], check=True)
        assert (tmp_path / "one/manifest.json").read_bytes() == upstream.manifest
        assert [tag["imageTag"] for tag in ecr.list_images(repositoryName="far/team/web")["imageIds"]] == ["1"]
    # The upstream is gone: what is here is served, and nothing else.
    server.kill()
    server.start()
    subprocess.run([*copy, f"{place}:1", f"dir:{tmp_path}/two"], check=True)
    assert subprocess.run([*copy, f"{place}:2", f"dir:{tmp_path}/three"], capture_output=True).returncode != 0
    assert [rule["ecrRepositoryPrefix"] for rule in ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"]] == ["far"]
    ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="far")
    with pytest.raises(ecr.exceptions.PullThroughCacheRuleNotFoundException):
        ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="far")
