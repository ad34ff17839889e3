"""Task sets: a service whose deployments a client makes by itself, and moves its traffic (deployment controller EXTERNAL)."""

import botocore.exceptions
import pytest
import requests

from services import Balanced, register, until, wait, web
from servers import busybox_server as server  # noqa: F401

PORTS = {"portMappings": [{"containerPort": 8080}]}


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]


def service_of(ecs, name):
    return ecs.describe_services(services=[name])["services"][0]


def steady(ecs, name, task_set):
    def look():
        found = ecs.describe_task_sets(cluster="default", service=name, taskSets=[task_set])["taskSets"]
        return found and found[0]["stabilityStatus"] == "STEADY_STATE" and found[0]
    return until(look, 90, lambda: service_of(ecs, name))


def test_a_client_deploys_by_task_sets_and_moves_the_traffic(server, ecs, network):
    balanced = Balanced(server, "ext")
    balanced.forward({0: 100, 1: 0})
    made = ecs.create_service(serviceName="ext", desiredCount=3, deploymentController={"type": "EXTERNAL"}, healthCheckGracePeriodSeconds=30)["service"]
    assert made["deploymentController"] == {"type": "EXTERNAL"} and not made["deployments"] and not made["taskSets"] and "taskDefinition" not in made

    def create(version, group, scale, **more):
        return ecs.create_task_set(
            cluster="default", service="ext", taskDefinition=register(ecs, "ext", web(version), **PORTS), networkConfiguration=network,
            loadBalancers=[{"targetGroupArn": balanced.groups[group], "containerName": "app", "containerPort": 8080}],
            scale={"value": scale, "unit": "PERCENT"}, **more)["taskSet"]

    blue = create("v1", 0, 100, externalId="release-1", clientToken="one", tags=[{"key": "color", "value": "blue"}])
    assert blue["status"] == "ACTIVE" and blue["computedDesiredCount"] == 3 and blue["externalId"] == "release-1" and blue["stabilityStatus"] == "STABILIZING"
    assert blue["taskSetArn"].endswith("/default/ext/" + blue["id"])
    again = create("v1", 0, 100, clientToken="one")
    assert again["id"] == blue["id"], "a client token stands for one request"
    assert steady(ecs, "ext", blue["id"])["runningCount"] == 3
    primary = ecs.update_service_primary_task_set(cluster="default", service="ext", primaryTaskSet=blue["taskSetArn"])["taskSet"]
    assert primary["status"] == "PRIMARY" and service_of(ecs, "ext")["taskDefinition"] == blue["taskDefinition"]
    assert requests.get(balanced.url, timeout=5).text == "v1\n"
    tasks = ecs.list_tasks(serviceName="ext")["taskArns"]
    assert {task["startedBy"] for task in ecs.describe_tasks(tasks=tasks)["tasks"]} == {blue["id"]}

    # A third of 3, rounded up; then all of it, while the daemon dies.
    green = create("v2", 1, 30)
    assert green["computedDesiredCount"] == 1
    assert steady(ecs, "ext", green["id"])["runningCount"] == 1
    changed = ecs.update_task_set(cluster="default", service="ext", taskSet=green["id"], scale={"value": 100, "unit": "PERCENT"})["taskSet"]
    assert changed["computedDesiredCount"] == 3 and changed["stabilityStatus"] == "STABILIZING"
    server.kill()
    server.start()
    ecs = server.client("ecs")
    assert steady(ecs, "ext", green["id"])["runningCount"] == 3
    balanced = balanced.again(server)
    balanced.forward({0: 0, 1: 100})
    until(lambda: {requests.get(balanced.url, timeout=5).text for _ in range(5)} == {"v2\n"})
    ecs.update_service_primary_task_set(cluster="default", service="ext", primaryTaskSet=green["id"])
    sets = {one["id"]: one for one in service_of(ecs, "ext")["taskSets"]}
    assert (sets[blue["id"]]["status"], sets[green["id"]]["status"]) == ("ACTIVE", "PRIMARY")
    assert service_of(ecs, "ext")["taskDefinition"] == green["taskDefinition"]
    tagged = ecs.describe_task_sets(cluster="default", service="ext", taskSets=[blue["id"], "ecs-svc/1"], include=["TAGS"])
    assert tagged["taskSets"][0]["tags"] == [{"key": "color", "value": "blue"}] and tagged["failures"][0]["reason"] == "MISSING"

    # Scaling the service scales every set by its share.
    ecs.update_task_set(cluster="default", service="ext", taskSet=blue["id"], scale={"value": 50, "unit": "PERCENT"})
    ecs.update_service(service="ext", desiredCount=1)
    assert [steady(ecs, "ext", one)["runningCount"] for one in (blue["id"], green["id"])] == [1, 1]

    # A set goes when it is scaled to nothing, or by force; requests never notice.
    error = refused(ecs.delete_task_set, cluster="default", service="ext", taskSet=blue["id"])
    assert error["Code"] == "InvalidParameterException" and "scaled above 0" in error["Message"]
    deleted = ecs.delete_task_set(cluster="default", service="ext", taskSet=blue["id"], force=True)["taskSet"]
    assert deleted["status"] == "DRAINING" and deleted["computedDesiredCount"] == 0
    while [one for one in service_of(ecs, "ext")["taskSets"] if one["id"] == blue["id"]]:
        assert requests.get(balanced.url, timeout=5).text == "v2\n"
    assert refused(ecs.delete_task_set, cluster="default", service="ext", taskSet=blue["id"])["Code"] == "TaskSetNotFoundException"
    assert service_of(ecs, "ext")["runningCount"] == 1

    assert "scaled above 0" in refused(ecs.delete_service, service="ext")["Message"]
    ecs.delete_service(service="ext", force=True)
    wait(ecs, "services_inactive", services=["ext"])
    assert not service_of(ecs, "ext")["taskSets"]
    assert refused(ecs.describe_task_sets, cluster="default", service="ext")["Code"] == "ServiceNotActiveException"


def test_a_task_set_without_a_load_balancer_heals_itself(ecs, network):
    ecs.create_service(serviceName="quiet", desiredCount=1, deploymentController={"type": "EXTERNAL"})
    made = ecs.create_task_set(cluster="default", service="quiet", taskDefinition=register(ecs, "quiet", "sleep 1000"), networkConfiguration=network)["taskSet"]
    assert made["scale"] == {"value": 0.0, "unit": "PERCENT"} and made["computedDesiredCount"] == 0
    ecs.tag_resource(resourceArn=made["taskSetArn"], tags=[{"key": "team", "value": "a"}, {"key": "x", "value": "y"}])
    ecs.untag_resource(resourceArn=made["taskSetArn"], tagKeys=["x"])
    assert ecs.list_tags_for_resource(resourceArn=made["taskSetArn"])["tags"] == [{"key": "team", "value": "a"}]
    ecs.update_task_set(cluster="default", service="quiet", taskSet=made["id"], scale={"value": 100, "unit": "PERCENT"})
    assert steady(ecs, "quiet", made["id"])["runningCount"] == 1
    [first] = ecs.list_tasks(serviceName="quiet")["taskArns"]
    ecs.stop_task(task=first)
    until(lambda: ecs.list_tasks(serviceName="quiet")["taskArns"] not in ([], [first]), 60)
    assert steady(ecs, "quiet", made["id"])["runningCount"] == 1
    ecs.update_task_set(cluster="default", service="quiet", taskSet=made["id"], scale={"value": 0, "unit": "PERCENT"})
    until(lambda: service_of(ecs, "quiet")["runningCount"] == 0, 60)
    ecs.delete_task_set(cluster="default", service="quiet", taskSet=made["id"])
    until(lambda: not service_of(ecs, "quiet")["taskSets"])
    ecs.update_service(service="quiet", desiredCount=0)
    ecs.delete_service(service="quiet")
    wait(ecs, "services_inactive", services=["quiet"])


def test_task_sets_are_for_external_services_and_they_for_task_sets(ecs, network):
    definition = register(ecs, "limits", "sleep 1000", **PORTS)
    for member, value in {"taskDefinition": definition, "networkConfiguration": network, "launchType": "FARGATE",
                          "deploymentConfiguration": {"maximumPercent": 200}}.items():
        error = refused(ecs.create_service, serviceName="limits", desiredCount=1, deploymentController={"type": "EXTERNAL"}, **{member: value})
        assert error["Code"] == "InvalidParameterException" and member in error["Message"]
    ecs.create_service(serviceName="limits", desiredCount=0, deploymentController={"type": "EXTERNAL"})
    for change, words in {"taskDefinition": "task definition", "networkConfiguration": "network parameters", "forceNewDeployment": "force a new deployment",
                          "deploymentConfiguration": "deployment configuration"}.items():
        values = {"taskDefinition": definition, "networkConfiguration": network, "forceNewDeployment": True, "deploymentConfiguration": {"maximumPercent": 150}}
        error = refused(ecs.update_service, service="limits", **{change: values[change]})
        assert error["Code"] == "InvalidParameterException" and words in error["Message"] and "EXTERNAL" in error["Message"], change
    assert ecs.update_service(service="limits", desiredCount=2, healthCheckGracePeriodSeconds=5)["service"]["desiredCount"] == 2
    create = {"cluster": "default", "service": "limits", "taskDefinition": definition, "networkConfiguration": network}
    assert "between 0 and 100" in refused(ecs.create_task_set, **create, scale={"value": 101, "unit": "PERCENT"})["Message"]
    assert "does not exist" in refused(ecs.create_task_set, **create, loadBalancers=[
        {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/no/0", "containerName": "app", "containerPort": 8080}])["Message"]
    assert refused(ecs.create_task_set, **{**create, "service": "nobody"})["Code"] == "ServiceNotFoundException"
    assert refused(ecs.create_task_set, **{**create, "cluster": "nowhere"})["Code"] == "ClusterNotFoundException"
    assert refused(ecs.update_task_set, cluster="default", service="limits", taskSet="ecs-svc/1", scale={"value": 1, "unit": "PERCENT"})["Code"] == "TaskSetNotFoundException"
    assert refused(ecs.update_service_primary_task_set, cluster="default", service="limits", primaryTaskSet="ecs-svc/1")["Code"] == "TaskSetNotFoundException"
    ecs.delete_service(service="limits", force=True)
    wait(ecs, "services_inactive", services=["limits"])
    ecs.create_service(serviceName="plain", desiredCount=0, taskDefinition=definition, networkConfiguration=network)
    error = refused(ecs.create_task_set, **{**create, "service": "plain"})
    assert error["Code"] == "InvalidParameterException" and "deployment controller ECS" in error["Message"]
    ecs.delete_service(service="plain", force=True)
    wait(ecs, "services_inactive", services=["plain"])
