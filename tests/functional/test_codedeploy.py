"""CodeDeploy deployments with containers that run, under load: 0 requests may fail."""

import http.server
import json
import pathlib
import subprocess
import sys
import threading
import time

import botocore.exceptions
import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from server import REPO  # noqa: E402
from servers import HttpServer  # noqa: E402
from services import Application, newest, web  # noqa: E402
from services import quick_server as server  # noqa: E402, F401


class Hooks(HttpServer):
    """A hook's server: tells CodeDeploy what `verdict` says, as a Lambda function would."""

    def __init__(self, server, verdict="Succeeded"):
        self.seen, self.verdict, self.release = [], verdict, threading.Event()
        self.release.set()
        hooks = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                hooks.seen.append((self.path, event))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
                threading.Thread(target=hooks.answer, args=(server, event), daemon=True).start()

            def log_message(self, *_):
                pass

        super().__init__(Handler)

    def answer(self, server, event):
        if not self.release.wait(60):
            return
        server.client("codedeploy").put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"], lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"], status=self.verdict)

    def at(self, name):
        return self.url + name


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"]


@pytest.fixture(scope="module")
def plain(server):
    app = Application(server, "cd")
    yield app
    app.remove()


def test_a_deployment_is_one_object_of_both_apis(plain):
    load = plain.load()
    deployment = plain.create("v2")
    plain.deploy.get_waiter("deployment_successful").wait(deploymentId=deployment, WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    result = load.stop()
    assert result["failed"] == 0, result
    assert plain.serving() == {"v2"}
    info = plain.info(deployment)
    assert (info["creator"], info["computePlatform"], info["deploymentConfigName"]) == ("user", "ECS", "CodeDeployDefault.ECSAllAtOnce")
    assert info["deploymentOverview"]["Succeeded"] == 1 and info["completeTime"] >= info["startTime"] >= info["createTime"]
    events = plain.target(deployment)["lifecycleEvents"]
    assert [event["lifecycleEventName"] for event in events] == ["Start", "BeforeInstall", "Install", "AfterInstall", "BeforeAllowTraffic",
                                                                 "AllowTraffic", "AfterAllowTraffic", "End"]
    assert {event["status"] for event in events} == {"Succeeded"}, events
    assert all(event["endTime"] >= event["startTime"] for event in events)
    sets = {one["taskSetLabel"]: one for one in plain.target(deployment)["taskSetsInfo"]}
    assert (sets["Green"]["status"], sets["Green"]["trafficWeight"], sets["Blue"]["trafficWeight"]) == ("PRIMARY", 100.0, 0.0)
    assert sets["Green"]["targetGroup"]["name"] == "cd-green"
    seen = plain.ecs.list_service_deployments(service="cd")["serviceDeployments"][0]
    assert seen["status"] == "SUCCESSFUL"
    service = plain.ecs.describe_services(services=["cd"])["services"][0]
    assert [one["status"] for one in service["taskSets"] if one["status"] == "PRIMARY"] == ["PRIMARY"]
    assert service["taskSets"][0]["externalId"] == deployment and service["taskSets"][0]["computedDesiredCount"] == 2
    # The first deployment, which the ECS API made, is seen by CodeDeploy as well.
    listed = plain.deploy.list_deployments(applicationName=plain.application, deploymentGroupName=plain.group)["deployments"]
    assert listed[0] == deployment and len(listed) == 2 and plain.info(listed[1])["status"] == "Succeeded"
    content = plain.info(listed[1])["revision"]["appSpecContent"]["content"]
    assert plain.first in content


def odd_spec(definition):
    """As people write it: keys in any case, an unneeded quote here and there."""
    return (f"VERSION: '0.0'\nresources:\n  - targetService:\n      type: AWS::ECS::Service\n      PROPERTIES:\n        taskdefinition: \"{definition}\"\n"
            "        loadBalancerInfo: {containername: app, ContainerPort: '8080'}\n        capacityProviderStrategy:\n"
            "          - {capacityProvider: FARGATE, base: 0, weight: 1}\nhooks: []\n")


def steps(percent):
    return {0.0, *(float(weight) for weight in range(percent, 100, percent)), 100.0}


# Its weights, its planned waits in minutes, and how much faster than the server's clock the service's goes: a step is a second or more.
@pytest.mark.parametrize("config,weights,minutes,faster", [
    ("CodeDeployDefault.ECSAllAtOnce", {0.0, 100.0}, 0, 1), ("CodeDeployDefault.ECSCanary10Percent5Minutes", {0.0, 10.0, 100.0}, 5, 2),
    ("CodeDeployDefault.ECSCanary10Percent15Minutes", {0.0, 10.0, 100.0}, 15, 6), ("CodeDeployDefault.ECSLinear10PercentEvery1Minutes", steps(10), 9, 1),
    ("CodeDeployDefault.ECSLinear10PercentEvery3Minutes", steps(10), 27, 3), ("thirds", steps(33), 6, 2)])
def test_every_configuration_moves_traffic_in_its_steps_without_a_failed_request(plain, config, weights, minutes, faster):
    if config == "thirds":
        plain.deploy.create_deployment_config(deploymentConfigName=config, computePlatform="ECS", trafficRoutingConfig={
            "type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 33, "linearInterval": 2}})
    service = plain.ecs.describe_services(services=["cd"])["services"][0]["serviceArn"]
    plain.ecs.tag_resource(resourceArn=service, tags=[{"key": "watari:timeScale", "value": str(faster)}])
    load = plain.load()
    deployment = plain.create(config, deploymentConfigName=config, spec=odd_spec if config == "thirds" else None)
    seen = []

    def over():
        (weight,) = [one["trafficWeight"] for one in plain.target(deployment)["taskSetsInfo"] if one["taskSetLabel"] == "Green"]
        seen.append(weight)
        return plain.info(deployment)["status"] == "Succeeded"

    plain.until(over)
    result = load.stop()
    assert result["failed"] == 0, result
    assert plain.serving() == {config} and plain.info(deployment)["deploymentConfigName"] == config
    # Where the machine stalls for more than a second, a step may be missed.
    assert seen == sorted(seen) and set(seen) <= weights and len(weights - set(seen)) <= len(weights) // 4, seen
    shift = next(event for event in plain.target(deployment)["lifecycleEvents"] if event["lifecycleEventName"] == "AllowTraffic")
    assert (shift["endTime"] - shift["startTime"]).total_seconds() >= minutes / faster - 0.01
    plain.ecs.untag_resource(resourceArn=service, tagKeys=["watari:timeScale"])


def test_a_second_deployment_is_queued_and_comes_after(plain):
    first = plain.create("one-at-a-time", deploymentConfigName="CodeDeployDefault.ECSCanary10Percent5Minutes")
    second = plain.create("after-it")
    assert plain.info(second)["status"] == "Queued"
    assert second in plain.deploy.list_deployments(includeOnlyStatuses=["Queued"])["deployments"]
    third = plain.create("never")
    plain.deploy.stop_deployment(deploymentId=third)
    assert plain.until_over(second) == "Succeeded"
    assert plain.info(first)["status"] == "Succeeded" and plain.info(third)["status"] == "Stopped"
    assert plain.serving() == {"after-it"}


def test_hooks_are_asked_in_order_and_decide(server):
    app = Application(server, "cd-hooks", count=1, test_listener=True,
                      autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]})
    names = ["BeforeInstall", "AfterInstall", "AfterAllowTestTraffic", "BeforeAllowTraffic", "AfterAllowTraffic"]
    with Hooks(server) as good, Hooks(server, "Failed") as bad:
        deployment = app.create("v2", {name: good.at(name) for name in names})
        assert app.until_over(deployment) == "Succeeded"
        assert [path.lstrip("/") for path, _ in good.seen] == names
        assert {event["DeploymentId"] for _, event in good.seen} == {deployment}
        events = {event["lifecycleEventName"]: event["status"] for event in app.target(deployment)["lifecycleEvents"]}
        assert set(events.values()) == {"Succeeded"} and "TestTraffic" in events
        load = app.load()
        for name in names:
            failed = app.create("not-" + name, {**{other: good.at(other) for other in names}, name: bad.at(name)})
            assert app.until_over(failed) == "Failed"
            info = app.info(failed)
            assert info["errorInformation"]["code"] == "HOOK_EXECUTION_FAILURE" and name in info["errorInformation"]["message"]
            events = [(event["lifecycleEventName"], event["status"]) for event in app.target(failed)["lifecycleEvents"]]
            at = events.index((name, "Failed"))
            assert {status for _, status in events[:at]} == {"Succeeded"} and {status for _, status in events[at + 1:]} == {"Skipped"}, events
            if name == "BeforeInstall":  # nothing has changed that could be rolled back
                assert "rollbackInfo" not in info or "rollbackDeploymentId" not in info["rollbackInfo"]
                app.until(lambda: newest(app.ecs, "cd-hooks")["status"] == "ROLLBACK_SUCCESSFUL")
            else:
                back = app.info(info["rollbackInfo"]["rollbackDeploymentId"])
                assert back["creator"] == "codeDeployRollback" and back["rollbackInfo"]["rollbackTriggeringDeploymentId"] == failed
                assert app.until_over(back["deploymentId"]) == "Succeeded"
            assert app.serving() == {"v2"} and requests.get(app.test_url, timeout=5).text == "v2\n"
        result = load.stop()
        assert result["failed"] == 0, result
    app.remove()


@pytest.mark.parametrize("moment", ["BeforeInstall", "AfterInstall", "Ready", "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic", "End"])
def test_stopping_goes_back_at_every_stage_and_the_rollback_is_seen_at_once(plain, server, moment):
    before = plain.serving()
    load = plain.load()
    with Hooks(server) as hooks, plain.waiting(termination=2880, ready=2880 if moment == "Ready" else 0):
        hooks.release.clear()
        asks = moment not in ("Ready", "AllowTraffic", "End")
        deployment = plain.create("never", {moment: hooks.at("x")} if asks else None,
                                  deploymentConfigName="CodeDeployDefault.ECSCanary10Percent15Minutes" if moment == "AllowTraffic"
                                  else "CodeDeployDefault.ECSAllAtOnce")
        if moment == "Ready":
            plain.until_status(deployment, "Ready")
        elif asks:
            plain.until(lambda: hooks.seen)
        else:
            plain.until(lambda: [event for event in plain.target(deployment)["lifecycleEvents"]
                                 if event["lifecycleEventName"] == moment and event["status"] == "InProgress"])
        assert plain.deploy.stop_deployment(deploymentId=deployment, autoRollbackEnabled=True)["status"] in ("Pending", "Succeeded")
        info = plain.info(deployment)
        assert info["status"] == "Stopped" and info["errorInformation"]["code"] == "MANUAL_STOP"
        back = info["rollbackInfo"]["rollbackDeploymentId"]
        assert back in plain.deploy.list_deployments(applicationName=plain.application, deploymentGroupName=plain.group)["deployments"]
        assert refused(plain.deploy.stop_deployment, deploymentId=deployment) == "DeploymentAlreadyCompletedException"
        assert refused(plain.deploy.continue_deployment, deploymentId=deployment) == "DeploymentAlreadyCompletedException"
        assert plain.until_over(back) == "Succeeded"
        assert plain.info(deployment)["rollbackInfo"]["rollbackDeploymentId"] == back
    result = load.stop()
    assert result["failed"] == 0, result
    assert plain.serving() == before


def test_a_stop_without_rollback_is_no_deployment_of_its_own_and_traffic_returns(plain):
    before = plain.serving()
    load = plain.load()
    deployment = plain.create("never", deploymentConfigName="CodeDeployDefault.ECSCanary10Percent15Minutes")
    plain.until(lambda: 10 in plain.balanced.weights().values())
    listed = plain.deploy.list_deployments()["deployments"]
    plain.deploy.stop_deployment(deploymentId=deployment, autoRollbackEnabled=False)
    info = plain.info(deployment)
    assert info["status"] == "Stopped" and not info.get("rollbackInfo", {}).get("rollbackDeploymentId")
    plain.until(lambda: newest(plain.ecs, "cd")["status"] == "ROLLBACK_SUCCESSFUL")
    assert plain.deploy.list_deployments()["deployments"] == listed and plain.serving() == before
    result = load.stop()
    assert result["failed"] == 0, result


def test_a_ready_wait_that_runs_out_stops_the_deployment(plain):
    before = plain.serving()
    with plain.waiting(ready=1):
        deployment = plain.create("nobody-came")
        info = plain.until_status(deployment, "Succeeded", "Failed", "Stopped")
        assert info["status"] == "Stopped" and plain.serving() == before
        plain.until(lambda: newest(plain.ecs, "cd")["status"] == "ROLLBACK_SUCCESSFUL")


def test_the_ecs_api_stops_what_codedeploy_began(plain):
    before = plain.serving()
    deployment = plain.create("never", deploymentConfigName="CodeDeployDefault.ECSLinear10PercentEvery3Minutes")
    plain.until(lambda: [one for one in plain.target(deployment)["taskSetsInfo"] if one["taskSetLabel"] == "Green" and one["trafficWeight"]])
    arn = plain.ecs.list_service_deployments(service="cd")["serviceDeployments"][0]["serviceDeploymentArn"]
    plain.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    info = plain.info(deployment)
    assert info["status"] == "Stopped" and plain.until_over(info["rollbackInfo"]["rollbackDeploymentId"]) == "Succeeded"
    assert plain.serving() == before


def test_waits_end_by_continue_deployment(plain):
    before = plain.serving()
    with plain.waiting(termination=2880, ready=2880):
        deployment = plain.create("waited")
        plain.until_status(deployment, "Ready")
        assert plain.serving() == before
        plain.deploy.continue_deployment(deploymentId=deployment, deploymentWaitType="READY_WAIT")
        plain.until(lambda: plain.info(deployment).get("instanceTerminationWaitTimeStarted"))
        assert plain.info(deployment)["status"] == "InProgress" and plain.serving() == {"waited"}
        under_way = plain.deploy.list_deployments(includeOnlyStatuses=["Created", "Queued", "InProgress", "Ready"])["deployments"]
        assert deployment in under_way, "ecspresso looks for it so, to take it back"
        events = {event["lifecycleEventName"]: event["status"] for event in plain.target(deployment)["lifecycleEvents"]}
        assert (events["AfterAllowTraffic"], events["End"]) == ("Succeeded", "InProgress") and plain.target(deployment)["status"] == "InProgress"
        sets = {one["taskSetLabel"]: one["runningCount"] for one in plain.target(deployment)["taskSetsInfo"]}
        assert sets == {"Blue": 2, "Green": 2}
        plain.deploy.continue_deployment(deploymentId=deployment, deploymentWaitType="TERMINATION_WAIT")
        assert plain.until_over(deployment) == "Succeeded"


def test_blue_is_kept_alive_until_the_next_deployment(plain):
    def change(action):
        plain.deploy.update_deployment_group(
            applicationName=plain.application, currentDeploymentGroupName=plain.group, blueGreenDeploymentConfiguration={
                "terminateBlueInstancesOnDeploymentSuccess": action, "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"}})

    before = set(plain.ecs.list_tasks(serviceName="cd")["taskArns"])
    change({"action": "KEEP_ALIVE"})
    deployment = plain.create("beside")
    assert plain.until_over(deployment) == "Succeeded" and plain.serving() == {"beside"}
    kept = set(plain.ecs.list_tasks(serviceName="cd")["taskArns"])
    assert before < kept and len(kept) == 4
    change({"action": "TERMINATE", "terminationWaitTimeInMinutes": 0})
    assert plain.until_over(plain.create("instead")) == "Succeeded" and plain.serving() == {"instead"}
    plain.until(lambda: len(plain.ecs.list_tasks(serviceName="cd")["taskArns"]) == 2)
    assert not before & set(plain.ecs.list_tasks(serviceName="cd")["taskArns"])


def test_a_daemon_killed_in_the_middle_goes_on(plain, server):
    load = plain.load()
    deployment = plain.create("survived", deploymentConfigName="CodeDeployDefault.ECSLinear10PercentEvery1Minutes")
    for _ in range(3):
        time.sleep(2)
        server.kill()
        server.restart()
    assert plain.until_over(deployment) == "Succeeded"
    result = load.stop()
    assert result["failed"] == 0, result
    assert plain.serving() == {"survived"}


def test_aws_ecs_deploy_and_aws_deploy(plain, server, tmp_path):
    aws = REPO / ".tools/python/bin/aws"
    environment = server.environment()
    definition = {"family": "cd", "containerDefinitions": [{
        "name": "app", "image": "busybox:1", "memory": 64, "command": ["sh", "-c", web("by-cli")], "stopTimeout": 2,
        "portMappings": [{"containerPort": 8080}]}]}
    (tmp_path / "taskdef.json").write_text(json.dumps(definition))
    (tmp_path / "appspec.yaml").write_text(
        "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n        TaskDefinition: <TASK>\n"
        "        LoadBalancerInfo:\n          ContainerName: app\n          ContainerPort: 8080\n")
    done = subprocess.run([aws, "ecs", "deploy", "--service", "cd", "--task-definition", tmp_path / "taskdef.json",
                           "--codedeploy-appspec", tmp_path / "appspec.yaml"], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert plain.serving() == {"by-cli"}
    listed = subprocess.run([aws, "deploy", "list-deployments", "--application-name", plain.application, "--deployment-group-name", plain.group,
                             "--include-only-statuses", "Succeeded", "--output", "json"], env=environment, capture_output=True, text=True)
    assert json.loads(listed.stdout)["deployments"][0].startswith("d-"), listed.stderr
