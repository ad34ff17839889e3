"""The verbs that are clients of the API, as people type them."""

import json
import re
import socket
import subprocess

import pytest
import requests
from server import BIN
from servers import building_server as server  # noqa: F401


FILE = """\
app: tiny
images: {web: web}
services:
  web:
    image: web
    ports: [8080]
    environment: {WHO: "${env}"}
    secrets: {TOKEN: /tiny/token}
    stop_timeout: 2
    load_balancer: {port: PORT, health: /, deregistration_delay: 1s}
    release: {before: "echo migrated $WHO"}
  client:
    image: web
    depends_on: [web]
    stop_timeout: 1
    command: while true; do wget -q -O - http://web:8080/ && sleep 1; done
"""
SCRIPT = """\
mkdir -p /www && echo "VERSION for $WHO with ${#TOKEN}" >/www/index.html
BREAK
exec httpd -f -p 8080 -h /www
"""


class App:
    def __init__(self, directory):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.directory = directory
        (directory / "web").mkdir()
        (directory / "watari.yml").write_text(FILE.replace("PORT", str(port)))
        (directory / "web/Dockerfile").write_text('FROM busybox\nCOPY run /run.sh\nCMD ["/bin/sh", "/run.sh"]\n')
        self.write("v1")

    def write(self, version, broken=""):
        (self.directory / "web/run").write_text(SCRIPT.replace("VERSION", version).replace("BREAK", broken))


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return App(tmp_path_factory.mktemp("app"))


def up(server, app, check=True):
    return server.watari("up", app.directory, "--json", check=check)


def test_parameters_are_set_read_listed_and_removed(server):
    server.watari("param", "set", "/cli/plain", "a value")
    server.watari("param", "set", "/cli/secret", "hidden", "--secure")
    assert server.watari("param", "get", "/cli/secret").stdout == "hidden\n"
    listed = server.watari("param", "list", "/cli").stdout
    assert "/cli/plain" in listed and "SecureString" in listed and "hidden" not in listed
    server.watari("param", "rm", "/cli/plain", "/cli/secret")
    gone = server.watari("param", "get", "/cli/plain", check=False)
    assert gone.returncode == 1 and "ParameterNotFound" in gone.stderr


def test_up_names_the_parameters_that_are_missing(server, app):
    result = up(server, app, check=False)
    assert result.returncode == 1
    assert "/tiny/token (TOKEN of web): set it with `watari param set /tiny/token --secure`" in result.stderr


def test_up_serves_and_a_second_time_changes_nothing(server, app):
    server.watari("param", "set", "/tiny/token", "12345", "--secure")
    first = json.loads(up(server, app).stdout)
    assert first["changed"]
    url = first["services"][0]["url"]
    host = url.split("//")[1]
    local = f"http://127.0.0.1:{host.rsplit(':', 1)[1]}/"
    assert requests.get(local, headers={"Host": host}, timeout=10).text == "v1 for production with 5\n"
    again = json.loads(up(server, app).stdout)
    assert not again["changed"]
    assert [s["taskDefinition"] for s in again["services"]] == [s["taskDefinition"] for s in first["services"]]


def test_logs_and_status_show_what_runs(server, app):
    assert "for production" in server.watari("logs", "--since", "1h", "client").stdout
    status = server.watari("status").stdout
    assert "CLUSTER tiny-production" in status and "tiny-production-web  1 of 1 running" in status
    state = json.loads(server.watari("status", "tiny-production", "--json").stdout)
    web = next(s for s in state["clusters"][0]["services"] if s["serviceName"] == "tiny-production-web")
    assert [target["State"] for target in web["targets"]] == ["healthy"]
    unknown = server.watari("logs", "nobody", check=False)
    assert unknown.returncode == 1 and "there are tiny-production-" in unknown.stderr


def test_a_release_that_fails_says_why_and_the_old_revision_serves(server, app):
    app.write("v2", broken="echo no database here; exit 3")
    result = up(server, app, check=False)
    assert result.returncode == 1
    assert "container web ended with exit code 3" in result.stderr
    assert "| no database here" in result.stderr
    assert "goes on serving" in result.stderr


def test_the_task_before_a_release_must_succeed_and_is_tried_again(server, app):
    good = (app.directory / "watari.yml").read_text()
    app.write("v3")
    (app.directory / "watari.yml").write_text(good.replace("echo migrated $WHO", "echo cannot migrate; exit 4"))
    for _ in range(2):
        result = up(server, app, check=False)
        assert result.returncode == 1
        assert "so the release has not begun" in result.stderr and "| cannot migrate" in result.stderr
    (app.directory / "watari.yml").write_text(good)
    assert json.loads(up(server, app).stdout)["changed"]


def test_the_port_of_a_load_balancer_can_be_moved(server, app):
    file = app.directory / "watari.yml"
    before = file.read_text()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file.write_text(re.sub(r"port: \d+", f"port: {port}", before))
    moved = json.loads(up(server, app).stdout)
    host = moved["services"][0]["url"].split("//")[1]
    assert host.endswith(f":{port}")
    assert requests.get(f"http://127.0.0.1:{port}/", headers={"Host": host}, timeout=10).status_code == 200
    elbv2 = server.client("elbv2")
    ports = [listener["Port"] for balancer in elbv2.describe_load_balancers()["LoadBalancers"]
             for listener in elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]]
    assert ports == [port]


def test_a_mistake_in_the_file_has_a_place(server, tmp_path):
    (tmp_path / "watari.yml").write_text("app: tiny\nservices:\n  web: {imagee: busybox}\n")
    result = server.watari("up", tmp_path, check=False)
    assert result.returncode == 1
    assert "watari.yml:3:9: unknown key imagee: did you mean image?" in result.stderr


def test_images_lists_what_was_built(server, app):
    listed = server.watari("images").stdout
    assert "busybox:latest" in listed and "tiny/web:latest" in listed
    assert all(image["digest"].startswith("sha256:") for image in json.loads(server.watari("images", "--json").stdout))


def test_exec_runs_a_command_in_a_container(server, app):
    done = server.watari("exec", "web", "sh", "-c", "echo $WHO; ls -d /www; exit 7", check=False)
    assert (done.returncode, done.stdout) == (7, "production\n/www\n"), done.stderr
    unknown = server.watari("exec", "-c", "nobody", "web", "true", check=False)
    assert unknown.returncode == 1 and "has no container nobody (there are: web)" in unknown.stderr
    assert server.watari("exec", "web", check=False).returncode == 2


def verbs_below(*verb):
    """Every verb and verb of a verb, as `watari --help` lists them."""
    text = subprocess.run([BIN / "watari", *verb, "--help"], capture_output=True, text=True, check=True).stdout
    yield verb, text
    listed = text.partition("\nSubcommands:\n")[2].partition("\n\n")[0]
    for name in re.findall(r"^  (\w+) ", listed, re.M):
        yield from verbs_below(*verb, name)


def test_the_help_of_every_verb_shows_how_it_is_used():
    helps = dict(verbs_below())
    assert len(helps) > 30, "the verbs were found"
    for verb, text in helps.items():
        assert not verb or f"\n  watari {' '.join(verb)}" in text or f"watari {' '.join(verb)} " in text, f"watari {' '.join(verb)} --help has no example"
        assert not re.search(r"^  \w+ TEXT\S*( \.\.\.)?( REQUIRED)? *$", text, re.M), f"watari {' '.join(verb)} --help leaves a word unexplained"
