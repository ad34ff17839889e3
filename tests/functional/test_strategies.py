"""What `deploymentConfiguration` promises while tasks come and go, and services that change their strategy."""

import pathlib
import sys
import threading
import time

import botocore.exceptions
import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from load import Load  # noqa: E402
from services import Balanced, newest, register, until, wait, wait_for_deployment, web  # noqa: E402
from services import quick_server as server  # noqa: E402, F401

PORTS = {"portMappings": [{"containerPort": 8080}]}


class Watched:
    """Looks at a service's deployments and tasks all the time, as a client can."""

    def __init__(self, server, name):
        self.ecs, self.name, self.seen, self.over = server.client("ecs"), name, [], threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        while not self.over.wait(0.05):
            service = self.ecs.describe_services(services=[self.name])["services"][0]
            self.seen.append((service["runningCount"], service["pendingCount"], len(service["deployments"])))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


# Of 3 tasks: at least ceil(3 x minimum) stay, at most floor(3 x maximum) are there.
@pytest.mark.parametrize("minimum,maximum,least,most", [(50, 100, 2, 3), (100, 150, 3, 4), (0, 100, 0, 3)])
def test_a_rolling_release_keeps_within_its_percentages(server, ecs, network, minimum, maximum, least, most):
    name = f"percent-{minimum}-{maximum}"
    balanced = Balanced(server, name)
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, web("v1"), **PORTS), desiredCount=3, networkConfiguration=network,
                       loadBalancers=balanced.load_balancers(False),
                       deploymentConfiguration={"minimumHealthyPercent": minimum, "maximumPercent": maximum})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    with Watched(server, name) as watched:
        ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v2"), **PORTS))
        assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL", newest(ecs, name)
    assert len(watched.seen) > 3 and min(running for running, _, _ in watched.seen) >= least, watched.seen
    assert max(running + pending for running, pending, _ in watched.seen) <= most, watched.seen
    assert {requests.get(balanced.url, timeout=5).text for _ in range(6)} == {"v2\n"}
    assert len(ecs.describe_services(services=[name])["services"][0]["deployments"]) == 1
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


def test_a_task_that_runs_and_crashes_later_trips_the_circuit_breaker(server, ecs, network):
    """One at a time, each healthy after a second at the earliest and gone after three: the first has crashed before the fourth is there."""
    name = "crashes"
    balanced = Balanced(server, name)
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, web("v1"), **PORTS), desiredCount=4, networkConfiguration=network,
                       loadBalancers=balanced.load_balancers(False), deploymentConfiguration={
                           "minimumHealthyPercent": 100, "maximumPercent": 125, "deploymentCircuitBreaker": {
                               "enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 2}}})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    crash = "mkdir -p /tmp/www && echo v1 > /tmp/www/index.html; httpd -p 8080 -h /tmp/www; sleep 3; exit 9"
    ecs.update_service(service=name, taskDefinition=register(ecs, name, crash, healthCheck={
        "command": ["CMD-SHELL", "sleep 1"], "interval": 5, "timeout": 3, "retries": 1}, **PORTS))
    failed = wait_for_deployment(ecs, name, 120)
    assert failed["status"] == "ROLLBACK_SUCCESSFUL" and "exited with code 9" in failed["statusReason"], failed
    breaker = newest(ecs, name)["deploymentCircuitBreaker"]
    assert (breaker["status"], breaker["failureCount"], breaker["threshold"]) == ("TRIGGERED", 2, 2)
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


@pytest.mark.parametrize("named", ["nothing", "pair", "first"])
def test_a_rolling_release_in_the_middle_of_a_shift_takes_all_traffic_along(server, ecs, network, named):
    name = f"middle-{named}"
    balanced = Balanced(server, name)
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, web("v1"), **PORTS), desiredCount=2, networkConfiguration=network,
                       loadBalancers=balanced.load_balancers(True), deploymentConfiguration={
                           "strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 50, "canaryBakeTimeInMinutes": 1440}})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    load = Load(balanced.url, rate=100, track_bodies=True).start()
    ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v2"), **PORTS))
    until(lambda: 50 in balanced.weights().values() and "v2" in load.result()["bodies"])
    more = {} if named == "nothing" else {"loadBalancers": balanced.load_balancers(named == "pair")}
    ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v3"), **PORTS), deploymentConfiguration={"strategy": "ROLLING"}, **more)
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL", newest(ecs, name)
    assert {requests.get(balanced.url, timeout=5).text for _ in range(10)} == {"v3\n"}
    assert sorted(balanced.weights().values()) == [0, 100]
    result = load.stop()
    assert result["failed"] == 0, result
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


def test_a_service_changes_its_strategy_without_a_failed_request(server, ecs, network):
    name = "changing"
    balanced = Balanced(server, name)
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, web("v1"), **PORTS), desiredCount=2, networkConfiguration=network,
                       loadBalancers=balanced.load_balancers(False))
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    with pytest.raises(botocore.exceptions.ClientError, match="alternateTargetGroupArn"):
        ecs.update_service(service=name, deploymentConfiguration={"strategy": "BLUE_GREEN"})
    load = Load(balanced.url, rate=100, track_bodies=True).start()
    for version, strategy in (("v2", "BLUE_GREEN"), ("v3", "ROLLING"), ("v4", "CANARY"), ("v5", "LINEAR"), ("v6", "ROLLING"), ("v7", "ROLLING")):
        settings = {"CANARY": {"canaryConfiguration": {"canaryPercent": 50, "canaryBakeTimeInMinutes": 1}},
                    "LINEAR": {"linearConfiguration": {"stepPercent": 50, "stepBakeTimeInMinutes": 1}}}.get(strategy, {})
        ecs.update_service(service=name, taskDefinition=register(ecs, name, web(version), **PORTS), loadBalancers=balanced.load_balancers(strategy != "ROLLING"),
                           deploymentConfiguration={"strategy": strategy, **settings})
        assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL", (version, newest(ecs, name))
        assert {requests.get(balanced.url, timeout=5).text for _ in range(6)} == {version + "\n"}
        service = ecs.describe_services(services=[name])["services"][0]
        assert service["deploymentConfiguration"]["strategy"] == strategy and len(service["deployments"]) == 1
        time.sleep(0.5)
    result = load.stop()
    assert result["failed"] == 0, result
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])
