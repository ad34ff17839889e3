"""`watari down`: what `watari up` made goes, and nothing else; data stays unless it is asked for."""

import json
import pathlib
import subprocess
import sys
import time

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import make_layout, push  # noqa: E402
from server import BIN, Server, free_port  # noqa: E402

SERVE = "mkdir -p /www; [ -f /data/since ] || echo {name} > /data/since; cp /data/since /www/index.html; trap 'exit 0' TERM; httpd -f -p 8000 -h /www & wait"


def definition(name, port, extra=""):
    return f"""
app: {name}
services:
  web:
    image: down:1
    command: "{SERVE.format(name=name)}"
    ports: [8000]
    volumes: {{data: /data}}
    load_balancer: {{port: {port}}}
    release: {{strategy: blue_green, before: "true"}}
  worker:
    image: down:1
    command: [sleep, "10000"]
    stop_timeout: 1s
{extra}"""


class App:
    def __init__(self, server, directory, name, extra=""):
        self.server, self.directory, self.name, self.port = server, directory, name, free_port()
        directory.mkdir()
        self.write(extra)

    def write(self, extra=""):
        (self.directory / "watari.yml").write_text(definition(self.name, self.port, extra))

    def up(self):
        self.server.watari("up", self.directory)

    def down(self, *arguments, check=True):
        return self.server.watari("down", self.directory, *arguments, check=check)

    def served(self):
        return requests.get(f"http://127.0.0.1:{self.port}/", timeout=10).text.strip()

    def is_refused(self):
        try:
            requests.get(f"http://127.0.0.1:{self.port}/", timeout=10)
            return False
        except requests.ConnectionError:
            return True

    def left(self):
        """Names of everything that carries the application's."""
        ecs, elb, ec2 = (self.server.client(name) for name in ("ecs", "elbv2", "ec2"))
        cluster = f"{self.name}-production"
        out = [f"cluster {one['clusterName']}" for one in ecs.describe_clusters(clusters=[cluster])["clusters"] if one["status"] == "ACTIVE"]
        for family in (f"{cluster}-web", f"{cluster}-web-before", f"{cluster}-worker"):
            out += ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"]
        out += [one["LoadBalancerName"] for one in elb.describe_load_balancers()["LoadBalancers"] if one["LoadBalancerName"] == cluster]
        out += [one["TargetGroupName"] for one in elb.describe_target_groups()["TargetGroups"] if one["TargetGroupName"] in (f"{cluster}-web-blue", f"{cluster}-web-green")]
        out += [one["GroupName"] for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"] in (cluster, f"{cluster}-balancers")]
        return out


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server() as running:
        push(make_layout(str(tmp_path_factory.mktemp("layout"))), int(running.url.rsplit(":", 1)[1]), "down:1")
        yield running


@pytest.fixture(scope="module")
def other(server, tmp_path_factory):
    """Another application, whose name begins as the cluster of the one that goes."""
    made = App(server, tmp_path_factory.mktemp("other") / "app", "shop-production")
    made.up()
    return made


@pytest.fixture
def app(server, other, tmp_path):
    made = App(server, tmp_path / "app", "shop")
    made.up()
    assert made.served() == "shop"
    yield made
    made.down("--yes", "--volumes")


def volumes(server):
    return [volume["name"] for volume in json.loads(server.watari("volumes", "--json").stdout)]


def test_everything_goes_but_the_data_and_other_applications(server, app, other):
    others = other.left()
    refused = app.down(check=False)
    assert refused.returncode == 1 and "--yes" in refused.stderr and "shop-production-web" in refused.stdout
    assert app.served() == "shop" and len(app.left()) == 9
    app.down("--yes")
    assert app.left() == [] and app.is_refused()
    assert volumes(server) == ["shop-production-data", "shop-production-production-data"]
    assert "there is nothing of shop (production) but volumes, which --volumes erases: shop-production-data" in app.down("--yes").stdout
    assert other.served() == "shop-production" and other.left() == others


def test_data_is_found_again_until_it_is_erased(server, app):
    busy = server.watari("volumes", "rm", "shop-production-data", check=False)
    assert busy.returncode == 1 and "is used by" in busy.stderr
    for name in ("nothing", "..", ".removed", "../../master.key"):
        assert server.watari("volumes", "rm", name, check=False).stderr == f"watari: watari DeleteVolume: there is no volume {name} (ResourceNotFoundException)\n"
    app.down("--yes")
    (server.root / "volumes/123456789012/ap-northeast-1/shop-production-data/data/since").write_text("long ago\n")
    app.up()
    assert app.served() == "long ago"
    answer = json.loads(app.down("--yes", "--volumes", "--json").stdout)
    assert answer["volumes"] == ["shop-production-data"] and answer["keptVolumes"] == []
    assert volumes(server) == ["shop-production-production-data"] and not list((server.root / "volumes").glob(".removed/*"))
    assert "there is nothing of shop (production)\n" in app.down("--yes").stdout
    app.up()
    assert app.served() == "shop"


def test_one_service_that_left_the_file(server, app):
    app.write("  old:\n    image: down:1\n    command: [sleep, '10000']\n    stop_timeout: 1s\n")
    app.up()
    app.write()
    assert "watari down --service shop-production-old" in server.watari("up", app.directory).stdout
    app.down("--service", "old", "--yes")
    ecs = server.client("ecs")
    assert {arn.rsplit("/", 1)[1] for arn in ecs.list_services(cluster="shop-production")["serviceArns"]} == {"shop-production-web", "shop-production-worker"}
    assert ecs.list_task_definitions(familyPrefix="shop-production-old")["taskDefinitionArns"] == []
    assert app.served() == "shop"


def test_a_volume_that_was_being_erased_when_the_server_was_killed_is_erased_by_the_next(server):
    server.kill()
    left = server.root / "volumes/.removed/0123456789abcdef/data"
    left.mkdir(parents=True)
    (left / "secret").write_text("x")
    server.start()
    deadline = time.monotonic() + 60
    while left.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("after", [0.05, 0.3, 0.8])
def test_a_removal_that_was_killed_is_finished_by_the_next(server, app, after):
    process = subprocess.Popen([BIN / "watari", "down", app.directory, "--yes", "--volumes"], env=server.environment(), stdout=subprocess.DEVNULL)
    time.sleep(after)
    process.kill()
    process.wait()
    server.kill()
    server.start()
    app.down("--yes", "--volumes")
    assert app.left() == [] and "shop-production-data" not in volumes(server)
