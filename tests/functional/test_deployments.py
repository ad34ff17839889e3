"""Deployments with lifecycle hooks, pauses and alarms, through boto3, with real tasks and kill -9 of the daemon."""

import http.server
import json
import pathlib
import random
import sys
import threading
import time

import botocore.exceptions
import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from servers import HttpServer  # noqa: E402
from services import Balanced, newest, register, until, wait, wait_for_deployment, web  # noqa: E402
from services import quick_server as server  # noqa: E402, F401

PORTS = {"portMappings": [{"containerPort": 8080}]}
STAGES = ["PRE_SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT",
          "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"]


class Hooks(HttpServer):
    """A hook behind a URL: answers what `answer(event)` says, and remembers the events."""

    def __init__(self, answer):
        self.events = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.events.append(event)
                status, body = answer(event)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_):
                pass

        super().__init__(Handler)


def paused(ecs, service):
    return [hook for hook in newest(ecs, service).get("lifecycleHookDetails", []) if hook["status"] == "AWAITING_ACTION"]


def blue_green(server, ecs, network, name, configuration=None, **more):
    balanced = Balanced(server, name)
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, web("v1"), **PORTS), desiredCount=1,
                       networkConfiguration=network, loadBalancers=balanced.load_balancers(True),
                       deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, **(configuration or {})}, **more)
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    return balanced


def remove(ecs, name):
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


def test_hooks_are_called_at_every_stage_also_when_the_daemon_is_killed_between(server, ecs, network):
    asked = set()

    def answer(event):
        if event["executionId"] in asked:
            return 200, {"hookStatus": "SUCCEEDED"}
        asked.add(event["executionId"])
        return 200, {"hookStatus": "IN_PROGRESS", "callBackDelay": 1, "hookDetails": {"asked": event["lifecycleStage"]}}

    with Hooks(answer) as hooks:
        balanced = blue_green(server, ecs, network, "hooked")
        ecs.update_service(service="hooked", taskDefinition=register(ecs, "hooked", web("v2"), **PORTS), deploymentConfiguration={
            "lifecycleHooks": [{"hookTargetArn": hooks.url, "roleArn": "arn:aws:iam::123456789012:role/hook", "lifecycleStages": STAGES,
                                "hookDetails": {"bucket": "b"}}]})
        until(lambda: len(hooks.events) >= 3)
        server.kill()
        server.start()
        ecs = server.client("ecs")
        assert wait_for_deployment(ecs, "hooked")["status"] == "SUCCESSFUL"
        assert requests.get(balanced.url, timeout=5).text == "v2\n"
    order = list(dict.fromkeys(event["lifecycleStage"] for event in hooks.events))
    assert order == STAGES
    # Both were asked before the kill: what is asked as the daemon dies may be asked again.
    first, second = (next(e for e in hooks.events if e["lifecycleStage"] == "PRE_SCALE_UP" and e["hookDetails"] == details)
                     for details in ({"bucket": "b"}, {"asked": "PRE_SCALE_UP"}))
    assert first["executionId"] == second["executionId"]
    shift = next(event for event in hooks.events if event["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT")
    details = shift["executionDetails"]
    assert details["productionTrafficWeights"][details["targetServiceRevisionArn"]] == 100
    assert sorted(details["productionTrafficWeights"].values()) == [0, 100] and details["serviceArn"].endswith("/hooked")
    assert shift["resourceArn"] == newest(ecs, "hooked")["serviceDeploymentArn"]
    remove(ecs, "hooked")


def test_a_hook_that_fails_takes_the_release_back(server, ecs, network):
    with Hooks(lambda event: (200, {"hookStatus": "FAILED", "reason": "the smoke test found nothing"})) as hooks:
        balanced = blue_green(server, ecs, network, "refused")
        ecs.update_service(service="refused", taskDefinition=register(ecs, "refused", web("v2"), **PORTS), deploymentConfiguration={
            "lifecycleHooks": [{"hookTargetArn": hooks.url, "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}]})
        failed = wait_for_deployment(ecs, "refused")
        assert failed["status"] == "ROLLBACK_SUCCESSFUL"
        assert "POST_TEST_TRAFFIC_SHIFT failed: the smoke test found nothing" in failed["statusReason"], failed
        assert requests.get(balanced.url, timeout=5).text == "v1\n"
    remove(ecs, "refused")


def test_a_pause_waits_for_somebody(server, ecs, network):
    pause = {"targetType": "PAUSE", "lifecycleStages": ["PRE_PRODUCTION_TRAFFIC_SHIFT"], "timeoutConfiguration": {"timeoutInMinutes": 1440}}
    balanced = blue_green(server, ecs, network, "waits")
    ecs.update_service(service="waits", taskDefinition=register(ecs, "waits", web("v2"), **PORTS), deploymentConfiguration={"lifecycleHooks": [pause]})
    hook = until(lambda: paused(ecs, "waits"), told=lambda: newest(ecs, "waits"))[0]
    assert hook["targetType"] == "PAUSE" and hook["timeoutAction"] == "ROLLBACK"
    server.kill()
    server.start()
    ecs = server.client("ecs")
    assert requests.get(balanced.url, timeout=5).text == "v1\n" and paused(ecs, "waits")[0]["hookId"] == hook["hookId"]
    arn = newest(ecs, "waits")["serviceDeploymentArn"]
    with pytest.raises(botocore.exceptions.ClientError, match="does not wait at a lifecycle hook"):
        ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId="another")
    ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"])
    assert wait_for_deployment(ecs, "waits")["status"] == "SUCCESSFUL"
    assert requests.get(balanced.url, timeout=5).text == "v2\n"

    ecs.update_service(service="waits", taskDefinition=register(ecs, "waits", web("v3"), **PORTS))
    hook = until(lambda: paused(ecs, "waits"))[0]
    ecs.continue_service_deployment(serviceDeploymentArn=newest(ecs, "waits")["serviceDeploymentArn"], hookId=hook["hookId"], action="ROLLBACK")
    assert wait_for_deployment(ecs, "waits")["status"] == "ROLLBACK_SUCCESSFUL"
    assert requests.get(balanced.url, timeout=5).text == "v2\n"
    remove(ecs, "waits")


def test_a_service_or_a_rule_may_be_deleted_in_the_middle_of_a_release(server, ecs, network):
    pause = {"lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_PRODUCTION_TRAFFIC_SHIFT"]}]}
    balanced = Balanced(server, "deleted")
    rule = balanced.elb.create_rule(ListenerArn=balanced.listener, Priority=5, Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
                                    Actions=[{"Type": "forward", "TargetGroupArn": balanced.groups[0]}])["Rules"][0]["RuleArn"]
    entry = balanced.load_balancers(True)[0]
    entry["advancedConfiguration"]["productionListenerRule"] = rule
    ecs.create_service(serviceName="deleted", taskDefinition=register(ecs, "deleted", web("v1"), **PORTS), desiredCount=1, networkConfiguration=network,
                       loadBalancers=[entry], deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
    assert wait_for_deployment(ecs, "deleted")["status"] == "SUCCESSFUL"
    ecs.update_service(service="deleted", taskDefinition=register(ecs, "deleted", web("v2"), **PORTS), deploymentConfiguration=pause)
    until(lambda: paused(ecs, "deleted"))
    balanced.elb.delete_rule(RuleArn=rule)
    failed = wait_for_deployment(ecs, "deleted")
    assert failed["status"] == "ROLLBACK_SUCCESSFUL" and "does not exist any more" in failed["statusReason"], failed
    assert requests.get(balanced.url, timeout=5).text == "v1\n"  # by the default rule
    remove(ecs, "deleted")

    shared = blue_green(server, ecs, network, "deleted-too")
    with pytest.raises(botocore.exceptions.ClientError, match="deleted-too shifts its traffic with the listener rule"):
        ecs.create_service(serviceName="deleted-second", taskDefinition="deleted-too", desiredCount=1, networkConfiguration=network,
                           loadBalancers=shared.load_balancers(True), deploymentConfiguration={"strategy": "CANARY"})
    arn = newest(ecs, "deleted-too")["serviceDeploymentArn"]
    ecs.update_service(service="deleted-too", forceNewDeployment=True, deploymentConfiguration=pause)
    until(lambda: newest(ecs, "deleted-too")["serviceDeploymentArn"] != arn and paused(ecs, "deleted-too"))
    remove(ecs, "deleted-too")
    ended = newest(ecs, "deleted-too")
    assert (ended["status"], ended["statusReason"]) == ("STOPPED", "The service was deleted.")
    service = ecs.describe_services(services=["deleted-too"])["services"][0]
    assert service["status"] == "INACTIVE" and service["deployments"] == [] and "currentServiceDeployment" not in service


def test_green_is_tried_at_the_test_listener_before_it_has_production_traffic(server, ecs, network):
    balanced = Balanced(server, "tried")
    test_url = balanced.add_test_listener()
    entry = balanced.load_balancers(True)[0]
    entry["advancedConfiguration"]["testListenerRule"] = balanced.test_rule
    ecs.create_service(serviceName="tried", taskDefinition=register(ecs, "tried", web("v1"), **PORTS), desiredCount=1, networkConfiguration=network,
                       loadBalancers=[entry], deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
    assert wait_for_deployment(ecs, "tried")["status"] == "SUCCESSFUL"
    pause = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}
    for version, action in (("v2", "ROLLBACK"), ("v3", "CONTINUE")):
        ecs.update_service(service="tried", taskDefinition=register(ecs, "tried", web(version), **PORTS), deploymentConfiguration={"lifecycleHooks": [pause]})
        hook = until(lambda: paused(ecs, "tried"))[0]
        assert requests.get(test_url, timeout=5).text == version + "\n"
        assert requests.get(balanced.url, timeout=5).text == "v1\n"
        shown = newest(ecs, "tried")
        weights = [(one["requestedTestTrafficWeight"], one["requestedProductionTrafficWeight"])
                   for one in (shown["targetServiceRevision"], *shown["sourceServiceRevisions"])]
        assert weights == [(100, 0), (0, 100)]
        ecs.continue_service_deployment(serviceDeploymentArn=newest(ecs, "tried")["serviceDeploymentArn"], hookId=hook["hookId"], action=action)
        assert wait_for_deployment(ecs, "tried")["status"] == ("SUCCESSFUL" if action == "CONTINUE" else "ROLLBACK_SUCCESSFUL")
        served = "v3\n" if action == "CONTINUE" else "v1\n"
        assert requests.get(balanced.url, timeout=5).text == served and requests.get(test_url, timeout=5).text == served
    remove(ecs, "tried")


def test_tags_set_a_deadline_and_a_faster_clock(server, ecs, network):
    # A day of bake time is two seconds for this service: 60 times by the server's clock, 720 times by its own.
    balanced = blue_green(server, ecs, network, "tagged", tags=[{"key": "watari:timeScale", "value": "720"}], healthCheckGracePeriodSeconds=3600)
    ecs.update_service(service="tagged", taskDefinition=register(ecs, "tagged", web("v2"), **PORTS), deploymentConfiguration={"bakeTimeInMinutes": 1440})
    assert wait_for_deployment(ecs, "tagged")["status"] == "SUCCESSFUL"
    arn = ecs.describe_services(services=["tagged"])["services"][0]["serviceArn"]
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "watari:timeout", "value": "5s"}])
    # Within its grace period this one may be unhealthy for as long as it likes; the deadline ends it.
    ecs.update_service(service="tagged", taskDefinition=register(ecs, "tagged", "sleep 1000", **PORTS))
    failed = wait_for_deployment(ecs, "tagged")
    assert failed["status"] == "ROLLBACK_SUCCESSFUL" and "it was not done after 5 s" in failed["statusReason"], failed
    assert requests.get(balanced.url, timeout=5).text == "v2\n"
    remove(ecs, "tagged")


def test_a_migration_runs_exactly_once_whatever_is_killed(server, network):
    chance = random.Random(7)
    ecs = server.client("ecs")
    register(ecs, "migrate", "sleep 1; echo $WATARI_TASK_DEFINITION")
    first = register(ecs, "migrated", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    ecs.create_service(serviceName="migrated", taskDefinition=first, desiredCount=1, networkConfiguration=network, deploymentConfiguration={
        "lifecycleHooks": [{"hookTargetArn": "migrate", "lifecycleStages": ["PRE_SCALE_UP"]}]})
    for _ in range(3):
        time.sleep(chance.uniform(0, 1.5))
        server.kill()
        server.start()
        ecs = server.client("ecs")
        assert wait_for_deployment(ecs, "migrated")["status"] == "SUCCESSFUL"
        ecs.update_service(service="migrated", forceNewDeployment=True)
    assert wait_for_deployment(ecs, "migrated")["status"] == "SUCCESSFUL"
    deployments = ecs.list_service_deployments(service="migrated")["serviceDeployments"]
    ran = ecs.list_tasks(family="migrate", desiredStatus="STOPPED")["taskArns"]
    assert len(deployments) == 4 and len(ran) == 4
    tasks = ecs.describe_tasks(tasks=ran)["tasks"]
    assert all(task["containers"][0]["exitCode"] == 0 for task in tasks) and len({task["startedBy"] for task in tasks}) == 4

    # One that fails starts nothing of the new revision.
    kept = ecs.list_tasks(serviceName="migrated")["taskArns"]
    register(ecs, "migrate", "exit 3")
    ecs.update_service(service="migrated", forceNewDeployment=True)
    failed = wait_for_deployment(ecs, "migrated")
    assert failed["status"] == "ROLLBACK_SUCCESSFUL" and "container app exited with code 3" in failed["statusReason"], failed
    assert ecs.list_tasks(serviceName="migrated")["taskArns"] == kept
    remove(ecs, "migrated")


def test_a_hook_that_nobody_stands_behind_is_refused(ecs, network):
    definition = register(ecs, "nobody", "sleep 100")
    hook = {"hookTargetArn": "arn:aws:lambda:us-east-1:123456789012:function:smoke", "lifecycleStages": ["PRE_SCALE_UP"]}
    with pytest.raises(botocore.exceptions.ClientError, match="watari function put smoke"):
        ecs.create_service(serviceName="nobody", taskDefinition=definition, desiredCount=1, networkConfiguration=network,
                           deploymentConfiguration={"lifecycleHooks": [hook]})
    with pytest.raises(botocore.exceptions.ClientError, match="has no stage TEST_TRAFFIC_SHIFT"):
        ecs.create_service(serviceName="nobody", taskDefinition=definition, desiredCount=1, networkConfiguration=network,
                           deploymentConfiguration={"lifecycleHooks": [{"hookTargetArn": "nobody", "lifecycleStages": ["TEST_TRAFFIC_SHIFT"]}]})


def test_a_release_that_fails_requests_takes_itself_back(server, ecs, network):
    """Every tenth request to v2 fails: the load balancer's counters show it, and nobody has to look."""
    name = "verdict"
    serve = ("mkdir -p /tmp/www/cgi-bin && printf '#!/bin/sh\\nn=$(cat /proc/sys/kernel/random/uuid | cut -c1)\\n"
             "[ $n = 0 -o $n = 1 ] && printf \"HTTP/1.0 500 no\\\\r\\\\n\"\\nprintf \"Content-type: text/plain\\\\r\\\\n\\\\r\\\\nv2\\\\n\"\\n' "
             "> /tmp/www/cgi-bin/index && chmod +x /tmp/www/cgi-bin/index && echo v2 > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www")
    balanced = Balanced(server, name)
    good = serve.replace("$n = 0 -o $n = 1", "$n = none")
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, good, **PORTS), desiredCount=1,
                       networkConfiguration=network, loadBalancers=balanced.load_balancers(True), deploymentConfiguration={
                           "strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 50, "canaryBakeTimeInMinutes": 1440}})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    url, stop, codes = balanced.url + "cgi-bin/index", threading.Event(), []

    def load():
        session = requests.Session()
        while not stop.is_set():
            codes.append(session.get(url, timeout=10).status_code)

    loaders = [threading.Thread(target=load) for _ in range(2)]
    for loader in loaders:
        loader.start()
    try:
        until(lambda: len(codes) > 100)
        assert set(codes) == {200}
        ecs.update_service(service=name, taskDefinition=register(ecs, name, serve, **PORTS))
        until(lambda: codes.count(500) > 3, told=lambda: len(codes))
        failed = wait_for_deployment(ecs, name, 120)
    finally:
        stop.set()
        for loader in loaders:
            loader.join()
    assert failed["status"] == "ROLLBACK_SUCCESSFUL" and "requests to the new revision answered 5xx" in failed["statusReason"], failed
    remove(ecs, name)


def test_a_client_token_stands_for_one_request(ecs, network):
    definition = register(ecs, "token", "exit 0")
    first = ecs.run_task(taskDefinition=definition, networkConfiguration=network, clientToken="t1")["tasks"]
    again = ecs.run_task(taskDefinition=definition, networkConfiguration=network, clientToken="t1")["tasks"]
    assert [task["taskArn"] for task in first] == [task["taskArn"] for task in again]
    with pytest.raises(ecs.exceptions.ConflictException):
        ecs.run_task(taskDefinition=definition, networkConfiguration=network, clientToken="t1", count=2)
    with pytest.raises(ecs.exceptions.ConflictException):
        ecs.run_task(taskDefinition=definition, networkConfiguration=network, clientToken="t1",
                     overrides={"containerOverrides": [{"name": "app", "command": ["true"]}]})


def hooked(stage, url, **more):
    return {"lifecycleHooks": [{"hookTargetArn": url, "lifecycleStages": [stage], **more}]}


SHIFTS = {"LINEAR": ({"linearConfiguration": {"stepPercent": 25.0, "stepBakeTimeInMinutes": 1}}, [25, 50, 75, 100], 3),
          "CANARY": ({"canaryConfiguration": {"canaryPercent": 7.5, "canaryBakeTimeInMinutes": 2}}, [7.5, 100], 2)}


@pytest.mark.parametrize("strategy", SHIFTS)
def test_each_step_of_a_shift_is_made_and_waited_for(server, ecs, network, strategy):
    """A hook at PRODUCTION_TRAFFIC_SHIFT is called at each step, and the load balancer's weights are then what it is told."""
    shift, wanted, minutes = SHIFTS[strategy]
    name, seen = "steps-" + strategy.lower(), []

    def answer(event):
        details = event["executionDetails"]
        seen.append((details["productionTrafficWeights"][details["targetServiceRevisionArn"]], balanced.weights()))
        return 200, {"hookStatus": "SUCCEEDED"}

    with Hooks(answer) as hooks:
        balanced = blue_green(server, ecs, network, name)
        seen.clear()
        ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v2"), **PORTS), deploymentConfiguration={
            "strategy": strategy, "bakeTimeInMinutes": 1, **shift, **hooked("PRODUCTION_TRAFFIC_SHIFT", hooks.url)})
        assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    done = newest(ecs, name)
    assert [told for told, _ in seen] == wanted
    for told, real in seen:
        assert real[balanced.groups[1]] * 100 == told * sum(real.values())
    assert (done["finishedAt"] - done["startedAt"]).total_seconds() >= minutes + 1  # with the bake time; a minute is a second here
    revisions = ecs.describe_service_revisions(serviceRevisionArns=[done["sourceServiceRevisions"][0]["arn"], done["targetServiceRevision"]["arn"]])
    assert [one["taskDefinition"].rsplit(":", 1)[1] for one in revisions["serviceRevisions"]] == ["1", "2"] and revisions["failures"] == []
    assert requests.get(balanced.url, timeout=5).text == "v2\n"
    remove(ecs, name)


def test_a_failing_hook_takes_the_release_back_at_every_stage(server, ecs, network):
    """And StopServiceDeployment with ROLLBACK while a hook is asked, at every stage, too."""
    asked = threading.Event()

    def answer(event):
        if event["lifecycleStage"] != stage or fails is None:
            asked.set()
            return 200, {"hookStatus": "IN_PROGRESS" if event["lifecycleStage"] == stage and fails is None and not stopped.is_set() else "SUCCEEDED", "callBackDelay": 1}
        return 200, {"hookStatus": "FAILED", "reason": "no"}

    stage, fails, stopped = None, False, threading.Event()
    with Hooks(answer) as hooks:
        balanced = blue_green(server, ecs, network, "everywhere")
        test_url = balanced.add_test_listener()
        entry = balanced.load_balancers(True)[0]
        entry["advancedConfiguration"]["testListenerRule"] = balanced.test_rule
        for stage in STAGES:
            for fails in (True, None):
                asked.clear(), stopped.clear()
                ecs.update_service(service="everywhere", taskDefinition=register(ecs, "everywhere", web("v2"), **PORTS), loadBalancers=[entry],
                                   deploymentConfiguration=hooked(stage, hooks.url))
                if fails is None:
                    assert asked.wait(60)
                    ecs.stop_service_deployment(serviceDeploymentArn=newest(ecs, "everywhere")["serviceDeploymentArn"], stopType="ROLLBACK")
                    assert newest(ecs, "everywhere")["status"].startswith("ROLLBACK_")
                    stopped.set()
                failed = wait_for_deployment(ecs, "everywhere")
                assert failed["status"] == "ROLLBACK_SUCCESSFUL" and (fails is None or f"{stage} failed: no" in failed["statusReason"]), failed
                assert newest(ecs, "everywhere")["rollback"]["reason"]
                assert requests.get(balanced.url, timeout=5).text == requests.get(test_url, timeout=5).text == "v1\n"
    remove(ecs, "everywhere")


def test_an_aborted_deployment_stays_where_it_is_until_the_next(server, ecs, network):
    balanced = blue_green(server, ecs, network, "aborted", {
        "strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 50.0, "canaryBakeTimeInMinutes": 1440}})
    ecs.update_service(service="aborted", taskDefinition=register(ecs, "aborted", web("v2"), **PORTS))
    until(lambda: set(balanced.weights().values()) == {50})
    arn = newest(ecs, "aborted")["serviceDeploymentArn"]
    ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ABORT")
    assert wait_for_deployment(ecs, "aborted")["status"] == "STOPPED"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ABORT")
    assert error.value.response["Error"]["Code"] == "ConflictException"
    assert set(balanced.weights().values()) == {50}
    assert {requests.get(balanced.url, timeout=5).text for _ in range(40)} == {"v1\n", "v2\n"}
    server.kill()
    server.start()
    ecs = server.client("ecs")
    assert {requests.get(balanced.url, timeout=5).text for _ in range(40)} == {"v1\n", "v2\n"}
    balanced.again(server)
    ecs.update_service(service="aborted", taskDefinition=register(ecs, "aborted", web("v3"), **PORTS), deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
    assert wait_for_deployment(ecs, "aborted")["status"] == "SUCCESSFUL"
    assert {requests.get(balanced.url, timeout=5).text for _ in range(20)} == {"v3\n"}
    until(lambda: len(ecs.list_tasks(serviceName="aborted")["taskArns"]) == 1)

    # What lists say of these three.
    def listed(**filters):
        return [one["status"] for one in ecs.list_service_deployments(service="aborted", **filters)["serviceDeployments"]]

    assert listed() == ["SUCCESSFUL", "STOPPED", "SUCCESSFUL"]
    assert listed(status=["STOPPED"]) == ["STOPPED"] and listed(status=["IN_PROGRESS", "PENDING"]) == []
    first = ecs.list_service_deployments(service="aborted", maxResults=2)
    rest = ecs.list_service_deployments(service="aborted", nextToken=first["nextToken"])
    assert len(first["serviceDeployments"]) == 2 and len(rest["serviceDeployments"]) == 1 and "nextToken" not in rest
    began = first["serviceDeployments"][0]["createdAt"]
    assert listed(createdAt={"after": began}) in (["SUCCESSFUL"], []) and len(listed(createdAt={"before": began})) >= 2
    unknown = ecs.describe_service_deployments(serviceDeploymentArns=[arn, arn + "x"])
    assert len(unknown["serviceDeployments"]) == 1 and [one["reason"] for one in unknown["failures"]] == ["MISSING"]
    remove(ecs, "aborted")


@pytest.mark.parametrize("action", ["CONTINUE", "ROLLBACK"])
def test_a_pause_that_nobody_ends_does_what_it_was_told(server, ecs, network, action):
    name = "pause-" + action.lower()
    balanced = blue_green(server, ecs, network, name)
    ecs.update_service(service=name, taskDefinition=register(ecs, name, web("v2"), **PORTS), deploymentConfiguration={"lifecycleHooks": [
        {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"], "timeoutConfiguration": {"timeoutInMinutes": 1, "action": action}}]})
    assert wait_for_deployment(ecs, name)["status"] == ("SUCCESSFUL" if action == "CONTINUE" else "ROLLBACK_SUCCESSFUL")
    assert requests.get(balanced.url, timeout=5).text == ("v2\n" if action == "CONTINUE" else "v1\n")
    assert (action == "CONTINUE") != ("timed out" in newest(ecs, name).get("statusReason", ""))
    remove(ecs, name)


def test_a_test_rule_may_stand_beside_the_production_rule(server, ecs, network):
    """Both on one listener, told apart by a header."""
    balanced = Balanced(server, "beside")
    rule = balanced.elb.create_rule(ListenerArn=balanced.listener, Priority=1, Actions=[{"Type": "forward", "TargetGroupArn": balanced.groups[0]}], Conditions=[
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Try", "Values": ["yes"]}}])["Rules"][0]["RuleArn"]
    entry = balanced.load_balancers(True)[0]
    entry["advancedConfiguration"]["testListenerRule"] = rule
    ecs.create_service(serviceName="beside", taskDefinition=register(ecs, "beside", web("v1"), **PORTS), desiredCount=1, networkConfiguration=network,
                       loadBalancers=[entry], deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
    assert wait_for_deployment(ecs, "beside")["status"] == "SUCCESSFUL"
    ecs.update_service(service="beside", taskDefinition=register(ecs, "beside", web("v2"), **PORTS), deploymentConfiguration={
        "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}]})
    hook = until(lambda: paused(ecs, "beside"))[0]
    assert requests.get(balanced.url, headers={"X-Try": "yes"}, timeout=5).text == "v2\n" and requests.get(balanced.url, timeout=5).text == "v1\n"
    ecs.continue_service_deployment(serviceDeploymentArn=newest(ecs, "beside")["serviceDeploymentArn"], hookId=hook["hookId"])
    assert wait_for_deployment(ecs, "beside")["status"] == "SUCCESSFUL"
    assert requests.get(balanced.url, headers={"X-Try": "yes"}, timeout=5).text == requests.get(balanced.url, timeout=5).text == "v2\n"
    remove(ecs, "beside")


SUCCEEDS = ("#!/bin/sh\\necho Content-type: application/json\\necho\\necho {\\\\\"hookStatus\\\\\": \\\\\"SUCCEEDED\\\\\"}\\n"
            "echo asked >> /tmp/www/asked\\n")
HOOK = f"mkdir -p /tmp/www/cgi-bin && printf '{SUCCEEDS}' > /tmp/www/cgi-bin/hook && chmod +x /tmp/www/cgi-bin/hook && " + web("0")


def test_a_hook_may_live_in_the_vpc(server, ecs, network):
    """At an address that only the VPC knows, or a name that only its tasks know: it is called from there."""
    task = ecs.run_task(taskDefinition=register(ecs, "inside", HOOK, **PORTS), networkConfiguration=network)["tasks"][0]["taskArn"]
    wait(ecs, "tasks_running", tasks=[task])
    details = ecs.describe_tasks(tasks=[task])["tasks"][0]["attachments"][0]["details"]
    address = next(one["value"] for one in details if one["name"] == "privateIPv4Address")
    named = register(ecs, "checker", HOOK, portMappings=[{"containerPort": 8080, "name": "http"}])
    ecs.create_service(serviceName="checker", taskDefinition=named, desiredCount=1, networkConfiguration=network, serviceConnectConfiguration={
        "enabled": True, "namespace": "default", "services": [{"portName": "http", "clientAliases": [{"port": 8080, "dnsName": "checker"}]}]})
    assert wait_for_deployment(ecs, "checker")["status"] == "SUCCESSFUL"
    balanced = blue_green(server, ecs, network, "within")
    for version, host in (("v2", address), ("v3", "checker")):
        ecs.update_service(service="within", taskDefinition=register(ecs, "within", web(version), **PORTS),
                           deploymentConfiguration=hooked("POST_SCALE_UP", f"http://{host}:8080/cgi-bin/hook"))
        assert wait_for_deployment(ecs, "within")["status"] == "SUCCESSFUL"
        assert requests.get(balanced.url, timeout=5).text == version + "\n"
    assert server.watari("exec", "checker", "cat", "/tmp/www/asked").stdout == "asked\n"
    remove(ecs, "within")
    remove(ecs, "checker")
    ecs.stop_task(task=task)
