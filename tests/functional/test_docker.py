"""The docker command, unmodified, against the server: from a script of the host and from RUN steps."""
import base64
import json
import os
import shutil
import subprocess

import pytest
import requests
from server import Server
from servers import building_server as server  # noqa: F401
from upstream import Upstream, digest_of


def login(server):
    return "Basic " + base64.b64encode(":".join(server.keys).encode()).decode()


@pytest.fixture
def docker(server, tmp_path):
    """Runs the docker command with a config.json that logs it in."""
    if not shutil.which("docker"):
        pytest.skip("SKIPPED: there is no docker command (apt-get install docker.io)")
    config = tmp_path / "docker-config"
    config.mkdir()
    (config / "config.json").write_text(json.dumps({"HttpHeaders": {"Authorization": login(server)}}))

    def run(*words, check=True, command="docker", **options):
        environment = os.environ | {"DOCKER_HOST": "tcp://" + server.url.split("//")[1], "DOCKER_CONFIG": str(config), "DOCKER_BUILDKIT": "0"}
        done = subprocess.run([command, *map(str, words)], env=environment, capture_output=True, text=True, timeout=120, **options)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done
    return run


def context(directory, text):
    (directory / "context").mkdir(exist_ok=True)
    (directory / "context/Dockerfile").write_text(text)
    (directory / "context/file").write_text("hello\n")
    return directory / "context"


def test_an_unmodified_script_builds_tags_pushes_and_inspects(server, docker, tmp_path):
    build = context(tmp_path, "FROM busybox\nARG WHO=nobody\nCOPY file /file\nRUN echo built for $WHO\nLABEL team=web\nCMD [\"cat\", \"/file\"]\n")
    done = docker("build", "-t", "shop:1", "--build-arg", "WHO=me", build)
    assert "built for me" in done.stdout and "Successfully tagged shop:1" in done.stdout
    done = docker("build", "-t", "shop:1", "--build-arg", "WHO=me", build)
    assert "Using cache" in done.stdout
    name = f"{server.url.split('//')[1]}/shop:2"
    docker("tag", "shop:1", name)
    image = json.loads(docker("inspect", "shop:2").stdout)[0]
    assert image["Config"]["Labels"] == {"team": "web"} and image["Config"]["Cmd"] == ["cat", "/file"]
    assert sorted(image["RepoTags"]) == ["shop:1", "shop:2"]
    digest = image["RepoDigests"][0].split("@")[1]
    assert digest in docker("push", name).stdout
    manifest = requests.get(f"{server.url}/v2/shop/manifests/2", timeout=10)
    assert manifest.headers["docker-content-digest"] == digest
    assert set(docker("images", "-q", "shop").stdout.split()) == {image["Id"].removeprefix("sha256:")[:12]}
    docker("tag", image["Id"].removeprefix("sha256:")[:12], "shop:3")
    docker("rmi", "shop:3")
    assert "No such" in docker("inspect", "shop:3", check=False).stderr
    assert docker("pull", "shop:1").returncode == 0
    assert "no part of the Docker API here" in docker("run", "shop:1", check=False).stderr


def test_failures_are_failures_of_the_script(docker, tmp_path):
    done = docker("build", context(tmp_path, "FROM busybox\nRUN echo before; exit 3\n"), check=False)
    assert done.returncode != 0 and "before" in done.stdout and "exit code 3" in done.stderr
    assert "not supported here" in docker("build", "--label", "a=b", context(tmp_path, "FROM busybox\n"), check=False).stderr


def test_login_checks_the_password(server, docker):
    host = server.url.split("//")[1]
    assert "Login Succeeded" in docker("login", "-u", server.keys[0], "--password-stdin", host, input=server.keys[1]).stdout
    assert "unauthorized" in docker("login", "-u", server.keys[0], "--password-stdin", host, input="wrong", check=False).stderr


@pytest.mark.parametrize("command", ["docker", "/usr/bin/docker"])  # Debian's docker.io, where another one comes first
def test_another_registry_is_pushed_to_and_pulled_from(server, docker, tmp_path, command):
    if not shutil.which(command):
        pytest.skip(f"SKIPPED: there is no {command} (apt-get install docker.io)")
    build = context(tmp_path, "FROM busybox\nCOPY file /file\n")
    with Server() as other:
        host = other.url.split("//")[1]
        name = f"{host}/team/far:1"
        docker("build", "-t", "far:1", build, command=command)
        docker("tag", "far:1", name, command=command)
        digest = json.loads(docker("inspect", "far:1", command=command).stdout)[0]["RepoDigests"][0].split("@")[1]
        assert digest in docker("push", name, command=command).stdout
        assert requests.get(f"{other.url}/v2/team/far/manifests/1", timeout=10).headers["docker-content-digest"] == digest
        docker("rmi", "far:1", command=command)
        docker("rmi", name, command=command)
        assert "No such" in docker("inspect", "far:1", check=False, command=command).stderr
        assert digest in docker("pull", name, command=command).stdout
        assert json.loads(docker("inspect", name, command=command).stdout)[0]["RepoDigests"][0].endswith(digest)
        assert "team/far" in docker("images", command=command).stdout


def test_a_registry_that_wants_a_login_gets_the_one_of_docker_login(docker):
    with Upstream(login="me:secret") as other:
        image = f"{other.host}/team/private:1"
        assert docker("pull", image, check=False).returncode != 0
        login = ("login", "-u", "me", "--password-stdin", other.host)
        assert "unauthorized" in docker(*login, input="wrong", check=False).stderr
        assert "Login Succeeded" in docker(*login, input="secret").stdout
        assert digest_of(other.manifest) in docker("pull", image).stdout
        assert json.loads(docker("inspect", image).stdout)[0]["RepoDigests"]


def test_who_shows_no_credentials_gets_nothing(server):
    for headers in ({}, {"Authorization": "Basic " + base64.b64encode(b"AWS:made.up.token").decode()}, {"Authorization": "Bearer x"}):
        for method, path in (("GET", "/images/json"), ("POST", "/build"), ("POST", "/images/busybox/tag?repo=stolen"), ("DELETE", "/images/busybox:latest")):
            assert requests.request(method, f"{server.url}/v1.43{path}", headers=headers, timeout=10).status_code == 401
    assert requests.get(f"{server.url}/_ping", timeout=10).headers["builder-version"] == "1"


ASK = ("wget -q -O - --header \"Authorization: $(sed 's/.*\"Authorization\":\"\\([^\"]*\\).*/\\1/' $DOCKER_CONFIG/config.json)\" "
       "${DOCKER_HOST/tcp/http}/v1.43/images/json")


def test_run_steps_reach_the_server_when_the_build_allows_it(server, tmp_path):
    build = context(tmp_path, f"FROM busybox\nRUN echo host $DOCKER_HOST; cat $DOCKER_CONFIG/config.json; {ASK}\n")
    done = server.watari("build", "-t", "inner", "--docker", build)
    assert "host tcp://" in done.stderr and '"busybox:latest"' in done.stderr
    assert '"Authorization":"Basic ***"' in done.stderr
    # Nothing of it stays in the image, and who was not allowed has nothing.
    done = server.watari("build", context(tmp_path, "FROM inner\nRUN echo left: $(ls /run) host: $DOCKER_HOST.\n"))
    assert "left: host: ." in done.stderr


def test_a_build_in_a_build_ends_up_in_the_store(server, docker, tmp_path):
    """The docker command itself in a RUN step, where it is a static one."""
    command = shutil.which("docker")
    build = context(tmp_path, "FROM busybox\nCOPY docker /bin/docker\nCOPY inner /inner\nRUN docker build -t from-inside /inner && docker images\n")
    shutil.copy(command, build / "docker")
    (build / "inner").mkdir()
    (build / "inner/Dockerfile").write_text("FROM busybox\nRUN echo inside\n")
    if "dynamic" not in subprocess.run(["ldd", command], capture_output=True, text=True).stderr:
        pytest.skip("SKIPPED: the docker command here needs shared libraries")
    done = server.watari("build", "--docker", build)
    assert "Successfully tagged from-inside:latest" in done.stderr
    assert requests.get(f"{server.url}/v2/from-inside/manifests/latest", timeout=10).status_code == 200
