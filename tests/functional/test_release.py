"""Releases as a user makes them: `watari up` again and again under load, with faults in between."""

import json
import os
import pathlib
import random
import shutil
import signal
import threading
import time

import pytest
import requests
from load import Load
from server import REPO, Server, free_port, processes_of


class Hello:
    """The application tests/apps/hello on a server of its own."""

    def __init__(self, server, directory):
        self.server, self.directory = server, directory
        shutil.copytree(REPO / "tests/apps/hello", directory)
        self.port = free_port()
        file = directory / "watari.yml"
        file.write_text(file.read_text().replace("18080", str(self.port)))
        self.url = f"http://127.0.0.1:{self.port}/version"
        server.watari("base", "build", "busybox", "--from", "busybox")

    def set_version(self, version):
        (self.directory / "web/www/version").write_text(f"{version}\n")

    def up(self, check=True):
        return self.server.watari("up", self.directory, "--root", self.server.root, check=check)

    def version(self):
        return requests.get(self.url, timeout=10).text.strip()

    def services(self):
        ecs = self.server.client("ecs")
        cluster = ecs.list_clusters()["clusterArns"]
        name = next(arn for arn in cluster if "hello" in arn)
        return ecs, name

    def tasks(self):
        ecs, cluster = self.services()
        arns = ecs.list_tasks(cluster=cluster)["taskArns"]
        return ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []

    def wait_until_steady(self, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ecs, cluster = self.services()
            arns = ecs.list_services(cluster=cluster)["serviceArns"]
            services = ecs.describe_services(cluster=cluster, services=arns)["services"]
            if all(len(s["deployments"]) == 1 and s["runningCount"] == s["desiredCount"] for s in services):
                return
            time.sleep(0.3)
        raise AssertionError(f"not steady after {seconds} s: {json.dumps(services, default=str)}\n{self.server.log_text()[-4000:]}")


@pytest.fixture(scope="module")
def hello(tmp_path_factory):
    with Server() as server:
        app = Hello(server, tmp_path_factory.mktemp("app") / "hello")
        app.up()
        yield app


def run_under_load(app, work, rate=100):
    load = Load(app.url, rate, track_bodies=True).start()
    try:
        time.sleep(0.5)
        work()
        time.sleep(0.5)
    finally:
        result = load.stop()
    return result


def test_up_serves_what_was_built(hello):
    assert hello.version() == "0"
    assert "RUNNING" in {task["lastStatus"] for task in hello.tasks()}


def test_a_second_up_without_changes_changes_nothing(hello):
    before = {task["taskArn"] for task in hello.tasks()}
    hello.up()
    assert {task["taskArn"] for task in hello.tasks()} == before


def test_twenty_releases_in_a_row_under_load_fail_no_request(hello):
    def releases():
        for version in range(1, 21):
            hello.set_version(version)
            hello.up()
            assert hello.version() == str(version)

    result = run_under_load(hello, releases)
    assert result["failed"] == 0, result
    assert {str(v) for v in range(1, 21)} <= set(result["bodies"]), result


def test_a_service_turns_rolling_and_back_under_load_without_a_failed_request(hello):
    file = hello.directory / "watari.yml"
    before = file.read_text()

    def turn():
        # From either target group, since blue/green has changed them with every release.
        for number, strategy in enumerate(("rolling", "blue_green", "blue_green", "rolling", "blue_green")):
            file.write_text(before.replace("release: {", f"release: {{strategy: {strategy}, "))
            hello.set_version(f"{strategy}-{number}")
            hello.up()
            assert hello.version() == f"{strategy}-{number}"
            tasks = {task["taskArn"] for task in hello.tasks()}
            hello.up()
            assert {task["taskArn"] for task in hello.tasks()} == tasks, "nothing has changed"

    result = run_under_load(hello, turn)
    file.write_text(before)
    assert result["failed"] == 0, result


def test_a_release_that_never_becomes_healthy_leaves_the_old_one_serving_and_says_why(hello):
    good = hello.version()
    start = hello.directory / "web/start"
    text = start.read_text()
    start.write_text("echo about to fail; rm -f /www/health; " + text)
    outcome = {}
    file = hello.directory / "watari.yml"
    slow = file.read_text()
    file.write_text(slow.replace("timeout: 60s", "timeout: 15s"))
    try:
        result = run_under_load(hello, lambda: outcome.update(done=hello.up(check=False)))
    finally:
        start.write_text(text)
        file.write_text(slow)
    assert outcome["done"].returncode == 1
    said = outcome["done"].stdout + outcome["done"].stderr
    assert "404" in said and "about to fail" in said, said
    assert result["failed"] == 0 and set(result["bodies"]) == {good}, result
    hello.up()
    hello.wait_until_steady()


def test_the_daemon_may_be_killed_at_any_time_of_a_release(hello):
    seed = int(os.environ.get("WATARI_SEED", random.randrange(1 << 30)))
    print("seed", seed)
    chance = random.Random(seed)

    def releases():
        for version in range(100, 105):
            hello.set_version(version)
            up = threading.Thread(target=lambda: hello.up(check=False))
            up.start()
            time.sleep(chance.uniform(0.05, 3))
            hello.server.kill()
            time.sleep(chance.uniform(0, 0.5))
            hello.server.start()
            up.join()
            hello.up()
            assert hello.version() == str(version)

    result = run_under_load(hello, releases)
    assert result["failed"] == 0, (seed, result)
    hello.wait_until_steady()


def test_a_killed_shim_haproxy_or_container_is_recovered_from(hello):
    root_id = (hello.server.root / "root-id").read_text().strip()
    for name in ("watari-shim", "haproxy", "httpd"):
        pids = processes_of(root_id, name)
        assert pids, f"no {name} of {root_id}"
        os.kill(pids[-1], signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if hello.version():
                    break
            except requests.RequestException:
                time.sleep(0.1)
        else:
            raise AssertionError(f"no answer after {name} was killed\n{hello.server.log_text()[-4000:]}")
    hello.wait_until_steady()
    assert len([task for task in hello.tasks() if task["lastStatus"] == "RUNNING"]) == 2


def test_load_balancers_serve_on_when_the_daemon_and_haproxy_are_killed_together(hello):
    root_id = (hello.server.root / "root-id").read_text().strip()
    hello.set_version(150)
    hello.up()
    assert hello.version() == "150"
    hello.wait_until_steady()
    # While a change is being written, what starts again is as it was before the change (docs/STATUS.md): blue may still be leaving.
    provided = pathlib.Path(f"/run/watari-{root_id}/haproxy")
    deadline = time.monotonic() + 30
    while time.time() - max(file.stat().st_mtime for file in provided.glob("haproxy-*.now")) < 1:
        assert time.monotonic() < deadline, "HAProxy's configuration goes on changing"
        time.sleep(0.1)
    hello.server.kill()
    killed = processes_of(root_id, "haproxy")
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    for _ in range(20):  # what connects while nobody runs waits, and is served
        assert hello.version() == "150"
    started = set(processes_of(root_id, "haproxy")) - set(killed)
    assert started, "another HAProxy serves, and no daemon runs"
    hello.server.start()
    assert hello.version() == "150"
    assert started & set(processes_of(root_id, "haproxy")), "the new daemon takes that one over"
    hello.set_version(200)
    hello.up()
    assert hello.version() == "200"
    hello.wait_until_steady()


def test_nothing_is_left_on_the_host_after_stop_all(tmp_path):
    with Server() as server:
        app = Hello(server, tmp_path / "hello")
        app.up()
        assert app.version() == "0"
        server.watari("stop", "--root", server.root, "--all")
        server.process.wait(60)
        done = server.watari("doctor", "--leaks", "--root", server.root, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
