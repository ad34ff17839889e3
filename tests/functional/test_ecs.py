"""ECS with containers that run: tasks from start to stop, and what survives the daemon."""

import concurrent.futures
import os
import pathlib
import random
import sys
import time

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from load import Load  # noqa: E402
from services import Balanced, register, until, wait, wait_for_deployment, web  # noqa: E402
from services import quick_server as server  # noqa: E402, F401


def test_a_task_runs_and_tells_how_it_ended(ecs, network):
    definition = register(ecs, "once", "echo hello; exit 3")
    task = ecs.run_task(taskDefinition=definition, networkConfiguration=network)["tasks"][0]["taskArn"]
    wait(ecs, "tasks_stopped", tasks=[task])
    seen = ecs.describe_tasks(tasks=[task])["tasks"][0]
    assert seen["containers"][0]["exitCode"] == 3
    assert seen["stopCode"] == "EssentialContainerExited"
    assert seen["containers"][0]["imageDigest"].startswith("sha256:")


def test_overrides_reach_the_container(ecs, network):
    definition = register(ecs, "overridden", "exit 1")
    task = ecs.run_task(taskDefinition=definition, networkConfiguration=network, overrides={"containerOverrides": [
        {"name": "app", "command": ["sh", "-c", "exit $CODE"], "environment": [{"name": "CODE", "value": "42"}]}]})["tasks"][0]["taskArn"]
    wait(ecs, "tasks_stopped", tasks=[task])
    assert ecs.describe_tasks(tasks=[task])["tasks"][0]["containers"][0]["exitCode"] == 42


def test_a_running_task_is_stopped_by_sigterm(ecs, network):
    definition = register(ecs, "long", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
    task = ecs.run_task(taskDefinition=definition, networkConfiguration=network)["tasks"][0]["taskArn"]
    wait(ecs, "tasks_running", tasks=[task])
    ecs.stop_task(task=task, reason="enough")
    wait(ecs, "tasks_stopped", tasks=[task])
    seen = ecs.describe_tasks(tasks=[task])["tasks"][0]
    assert (seen["stopCode"], seen["stoppedReason"]) == ("UserInitiated", "enough")
    assert seen["containers"][0]["exitCode"] == 7


def test_a_secret_that_is_missing_stops_the_task_before_it_starts(ecs, network):
    definition = register(ecs, "secretive", "true", secrets=[{"name": "TOKEN", "valueFrom": "/nowhere/token"}])
    task = ecs.run_task(taskDefinition=definition, networkConfiguration=network)["tasks"][0]["taskArn"]
    wait(ecs, "tasks_stopped", tasks=[task])
    seen = ecs.describe_tasks(tasks=[task])["tasks"][0]
    assert seen["stoppedReason"].startswith("ResourceInitializationError") and "/nowhere/token" in seen["stoppedReason"]


def test_a_secret_reaches_its_container(server, ecs, network):
    server.client("ssm").put_parameter(Name="/app/code", Value="9", Type="SecureString")
    definition = register(ecs, "secret", "exit $CODE", secrets=[{"name": "CODE", "valueFrom": "/app/code"}])
    task = ecs.run_task(taskDefinition=definition, networkConfiguration=network)["tasks"][0]["taskArn"]
    wait(ecs, "tasks_stopped", tasks=[task])
    assert ecs.describe_tasks(tasks=[task])["tasks"][0]["containers"][0]["exitCode"] == 9


def test_a_service_becomes_stable_rolls_and_goes(ecs, network):
    first = register(ecs, "rolls", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    ecs.create_service(serviceName="rolls", taskDefinition=first, desiredCount=2, networkConfiguration=network)
    wait(ecs, "services_stable", services=["rolls"])
    old = set(ecs.list_tasks(serviceName="rolls")["taskArns"])
    assert len(old) == 2
    second = register(ecs, "rolls", "trap 'exit 0' TERM; while :; do sleep 0.2; done")
    ecs.update_service(service="rolls", taskDefinition=second)
    wait(ecs, "services_stable", services=["rolls"])
    new = set(ecs.list_tasks(serviceName="rolls")["taskArns"])
    assert len(new) == 2 and not old & new
    service = ecs.describe_services(services=["rolls"])["services"][0]
    assert service["deployments"][0]["rolloutState"] == "COMPLETED" and service["taskDefinition"] == second
    assert any("has reached a steady state" in event["message"] for event in service["events"])
    ecs.update_service(service="rolls", desiredCount=3)
    wait(ecs, "services_stable", services=["rolls"])
    ecs.delete_service(service="rolls", force=True)
    wait(ecs, "services_inactive", services=["rolls"])
    assert ecs.list_tasks(serviceName="rolls")["taskArns"] == []


def test_a_bad_release_rolls_back(ecs, network):
    good = register(ecs, "breaks", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    ecs.create_service(serviceName="breaks", taskDefinition=good, desiredCount=1, networkConfiguration=network, deploymentConfiguration={
        "deploymentCircuitBreaker": {"enable": True, "rollback": True}})
    wait(ecs, "services_stable", services=["breaks"])
    kept = ecs.list_tasks(serviceName="breaks")["taskArns"]
    ecs.update_service(service="breaks", taskDefinition=register(ecs, "breaks", "echo broken; exit 5"))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        deployment = ecs.list_service_deployments(service="breaks")["serviceDeployments"][0]
        if deployment["status"] not in ("PENDING", "IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            break
        time.sleep(0.5)
    assert deployment["status"] == "ROLLBACK_SUCCESSFUL"
    assert "exited with code 5" in deployment["statusReason"] and "stream ecs/app/" in deployment["statusReason"]
    wait(ecs, "services_stable", services=["breaks"])
    assert ecs.list_tasks(serviceName="breaks")["taskArns"] == kept
    ecs.delete_service(service="breaks", force=True)


def test_tasks_live_on_when_the_daemon_is_killed(server, network):
    ecs = server.client("ecs")
    definition = register(ecs, "survivor", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    ecs.create_service(serviceName="survivor", taskDefinition=definition, desiredCount=2, networkConfiguration=network)
    wait(ecs, "services_stable", services=["survivor"])
    before = sorted(ecs.list_tasks(serviceName="survivor")["taskArns"])
    server.kill()
    server.restart()
    ecs = server.client("ecs")
    wait(ecs, "services_stable", services=["survivor"])
    assert sorted(ecs.list_tasks(serviceName="survivor")["taskArns"]) == before
    ecs.delete_service(service="survivor", force=True)
    wait(ecs, "services_inactive", services=["survivor"])


def slow(version):
    """/cgi-bin/slow answers its first half at once, and the second when somebody makes /tmp/go."""
    script = "#!/bin/sh\\necho\\necho begun\\ntouch /tmp/begun\\nwhile [ ! -e /tmp/go ]; do sleep 0.1; done\\necho whole\\n"
    return f"mkdir -p /tmp/www/cgi-bin && printf '{script}' > /tmp/www/cgi-bin/slow && chmod +x /tmp/www/cgi-bin/slow && " + web(version)


@pytest.mark.parametrize("delay", [300, 1])
def test_a_request_in_flight_is_answered_whole_within_the_deregistration_delay_and_cut_after_it(server, ecs, network, delay):
    name = f"slow-{delay}"
    balanced = Balanced(server, name)
    balanced.elb.modify_target_group_attributes(
        TargetGroupArn=balanced.groups[0], Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": str(delay)}])
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, slow("v1"), portMappings=[{"containerPort": 8080}]), desiredCount=1,
                       networkConfiguration=network, loadBalancers=balanced.load_balancers(False))
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    old = ecs.list_tasks(serviceName=name)["taskArns"][0]

    def inside(*command):
        return server.watari("exec", old.split("/")[-1], *command, check=False).returncode == 0

    def draining():
        targets = balanced.elb.describe_target_health(TargetGroupArn=balanced.groups[0])["TargetHealthDescriptions"]
        return [one for one in targets if one["TargetHealth"]["State"] == "draining"]

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(requests.get, balanced.url + "cgi-bin/slow", timeout=60)
        until(lambda: inside("test", "-e", "/tmp/begun"))
        ecs.update_service(service=name, taskDefinition=register(ecs, name, slow("v2"), portMappings=[{"containerPort": 8080}]))
        if delay == 300:
            until(draining)
            assert not asked.done() and requests.get(balanced.url, timeout=5).text == "v2\n"
            assert inside("touch", "/tmp/go")
            assert asked.result().text == "begun\nwhole\n"
        else:  # nobody makes /tmp/go: an answer without a length ends where it is cut
            assert asked.exception() or asked.result().text == "begun\n"
    wait(ecs, "tasks_stopped", tasks=[old])
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL" and requests.get(balanced.url, timeout=5).text == "v2\n"
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN", "CANARY", "LINEAR"])
def test_a_release_fails_no_request(server, ecs, network, strategy):
    name = f"web-{strategy.lower().replace('_', '-')}"
    balanced = Balanced(server, name)
    definition = {"portMappings": [{"containerPort": 8080}]}
    configuration = {"strategy": strategy, "bakeTimeInMinutes": 1, "deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    if strategy == "ROLLING":
        del configuration["bakeTimeInMinutes"]
    if strategy == "CANARY":
        configuration["canaryConfiguration"] = {"canaryPercent": 20, "canaryBakeTimeInMinutes": 2}
    if strategy == "LINEAR":
        configuration["linearConfiguration"] = {"stepPercent": 25, "stepBakeTimeInMinutes": 1}
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, web("v1"), **definition), desiredCount=2,
                       networkConfiguration=network, loadBalancers=balanced.load_balancers(strategy != "ROLLING"),
                       deploymentConfiguration=configuration)
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    assert requests.get(balanced.url, timeout=5).text == "v1\n"
    load = Load(balanced.url.replace(balanced.balancer["DNSName"], "127.0.0.1"), 100, host=balanced.balancer["DNSName"],
                track_bodies=True).start()
    try:
        for version in ("v2", "v3"):
            ecs.update_service(service=name, taskDefinition=register(ecs, name, web(version), **definition))
            assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
            assert requests.get(balanced.url, timeout=5).text == f"{version}\n"
        # A release that never becomes healthy changes nothing.
        ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v4", "sleep 1000"), **definition))
        failed = wait_for_deployment(ecs, name)
        assert failed["status"] == "ROLLBACK_SUCCESSFUL", failed
        assert "Task failed ELB health checks" in failed["statusReason"], failed
        ecs.update_service(service=name, desiredCount=1)
        wait(ecs, "services_stable", services=[name])
        time.sleep(1)
    finally:
        result = load.stop()
    assert result["failed"] == 0 and set(result["bodies"]) == {"v1", "v2", "v3"}, result
    if strategy != "ROLLING":
        assert sorted(balanced.weights().values()) == [0, 100]
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


def test_the_daemon_may_be_killed_at_any_time_of_a_blue_green_release(server, network):
    seed = int(os.environ.get("WATARI_SEED", random.randrange(1 << 30)))
    print("seed", seed)
    chance, name = random.Random(seed), "killed"
    balanced, ecs = Balanced(server, name), server.client("ecs")
    definition = {"portMappings": [{"containerPort": 8080}]}
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, web("v0"), **definition), desiredCount=2,
                       networkConfiguration=network, loadBalancers=balanced.load_balancers(True),
                       deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    load = Load(balanced.url.replace(balanced.balancer["DNSName"], "127.0.0.1"), 100, host=balanced.balancer["DNSName"],
                track_bodies=True).start()
    try:
        for version in range(1, 6):
            ecs.update_service(service=name, taskDefinition=register(ecs, name, web(f"v{version}"), **definition))
            time.sleep(chance.uniform(0, 5))
            server.kill()
            time.sleep(chance.uniform(0, 0.5))
            server.start()
            ecs = server.client("ecs")
            assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL", seed
            assert requests.get(balanced.url, timeout=5).text == f"v{version}\n", seed
    finally:
        result = load.stop()
    assert result["failed"] == 0, (seed, result)
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])
    assert ecs.list_tasks(serviceName=name, desiredStatus="RUNNING")["taskArns"] == []


def test_a_canary_can_be_scaled_stopped_and_superseded(server, ecs, network):
    name = "bird"
    balanced, definition = Balanced(server, name), {"portMappings": [{"containerPort": 8080}]}
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, web("v1"), **definition), desiredCount=1,
                       networkConfiguration=network, loadBalancers=balanced.load_balancers(True),
                       deploymentConfiguration={"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 30, "canaryBakeTimeInMinutes": 1440}})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"

    def until(what, seconds=60):
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, (balanced.weights(), ecs.describe_services(services=[name])["services"][0])
            time.sleep(0.2)

    def running():
        return len(ecs.list_tasks(serviceName=name)["taskArns"])

    def newest():
        arn = ecs.list_service_deployments(service=name)["serviceDeployments"][0]["serviceDeploymentArn"]
        return ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]

    ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v2"), **definition))
    until(lambda: sorted(balanced.weights().values()) == [30, 70])
    assert newest()["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT" and running() == 2
    seen = {requests.get(balanced.url, timeout=5).text for _ in range(60)}
    assert seen == {"v1\n", "v2\n"}
    ecs.update_service(service=name, desiredCount=2)
    until(lambda: running() == 4)

    ecs.stop_service_deployment(serviceDeploymentArn=newest()["serviceDeploymentArn"], stopType="ROLLBACK")
    assert wait_for_deployment(ecs, name)["status"] == "ROLLBACK_SUCCESSFUL"
    assert sorted(balanced.weights().values()) == [0, 100] and {requests.get(balanced.url, timeout=5).text for _ in range(20)} == {"v1\n"}
    service = ecs.describe_services(services=[name])["services"][0]
    assert service["taskDefinition"].endswith(":1") and service["deployments"][0]["rolloutState"] == "COMPLETED"

    ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v3"), **definition))
    until(lambda: sorted(balanced.weights().values()) == [30, 70])
    superseded = newest()["serviceDeploymentArn"]
    ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v4"), **definition),
                       deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    assert {requests.get(balanced.url, timeout=5).text for _ in range(20)} == {"v4\n"}
    assert ecs.describe_service_deployments(serviceDeploymentArns=[superseded])["serviceDeployments"][0]["status"] == "STOPPED"
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


def test_tasks_reach_a_service_by_its_name_also_during_a_release(server, ecs, network):
    definition = {"portMappings": [{"containerPort": 8080, "name": "http"}]}
    names = {"enabled": True, "services": [{"portName": "http", "clientAliases": [{"port": 8080, "dnsName": "api"}]}]}
    # Another environment in the same VPC, with a service of the same name: nobody else's tasks ever see it.
    ecs.create_service(serviceName="elsewhere", taskDefinition=register(ecs, "elsewhere", web("v0"), **definition), desiredCount=1,
                       networkConfiguration=network, serviceConnectConfiguration=names | {"namespace": "elsewhere"})
    ecs.create_service(serviceName="named", taskDefinition=register(ecs, "named", web("v1"), **definition), desiredCount=2,
                       networkConfiguration=network, serviceConnectConfiguration=names)
    for name in ("named", "elsewhere"):
        assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    # A static busybox cannot ask the C library for names; what it would find stands in /etc/hosts. There are always two addresses
    # at least, and in the end they are others than at the beginning.
    ask = ("names() { awk '$2==\"api\"{print $1}' /etc/hosts | sort; }; names > /tmp/first; echo $(names); [ $(names | wc -l) = 2 ] || exit 8; "
           "while :; do names > /tmp/now; [ $(wc -l < /tmp/now) -ge 2 ] || exit 9; "
           "grep -q -F -f /tmp/first /tmp/now || { echo $(names); exit 0; }; sleep 0.05; done")
    client = ecs.run_task(taskDefinition=register(ecs, "client", ask), networkConfiguration=network)["tasks"][0]["taskArn"]
    wait(ecs, "tasks_running", tasks=[client])
    ecs.update_service(service="named", taskDefinition=register(ecs, "named", web("v2"), **definition))
    assert wait_for_deployment(ecs, "named")["status"] == "SUCCESSFUL"
    wait(ecs, "tasks_stopped", tasks=[client])
    assert ecs.describe_tasks(tasks=[client])["tasks"][0]["containers"][0]["exitCode"] == 0
    for name in ("named", "elsewhere"):
        ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=["named", "elsewhere"])
