"""`watari deploy`, `rollback`, `deployments` and `status` of services that CodeDeploy deploys, and the way back to what really ran."""

import json
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from application import Application  # noqa: E402
from services import quick_server as server  # noqa: E402, F401
from busybox_image import make_layout, push  # noqa: E402


@pytest.fixture(scope="module")
def app(server, tmp_path_factory):
    return Application(server, tmp_path_factory.mktemp("layout"), "bg")


@pytest.fixture(scope="module")
def blue_green(app):
    """A service with CodeDeploy's controller that serves release 1; it has no deployment group before the first test."""
    app.create("bg", deploymentController={"type": "CODE_DEPLOY"}, deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100})
    return app


def register(app, release, **more):
    definition = app.task_definition(release) | more
    return app.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"].rsplit("/", 1)[1]


def plan(app, *arguments):
    return json.loads(app.server.watari("deploy", "bg", "--plan", "--json", *arguments, check=False).stdout)


def definition_of(app, service):
    return app.service(service)["taskDefinition"].rsplit("/", 1)[1]


def test_without_a_deployment_group_the_plan_says_so(blue_green):
    answer = plan(blue_green, "--task-definition", register(blue_green, "2"))
    assert not answer["possible"] and [problem["code"] for problem in answer["problems"] if problem["severity"] == "ERROR"] == ["NO_DEPLOYMENT_GROUP"]
    blue_green.make_deployment_group("bg")


def test_deploy_goes_through_codedeploy(blue_green):
    answer = plan(blue_green, "--task-definition", "bg:2")
    assert answer["possible"] and answer["strategy"] == "BLUE_GREEN" and answer["codeDeployGroup"] == "DgpECS-default-bg", answer["problems"]
    blue_green.server.watari("deploy", "bg", "--task-definition", "bg:2", "--tasks", "2")
    assert blue_green.served() == "2" and blue_green.service("bg")["desiredCount"] == 2
    deploy = blue_green.server.client("codedeploy")
    info = deploy.get_deployment(deploymentId=deploy.list_deployments()["deployments"][0])["deploymentInfo"]
    assert (info["status"], info["applicationName"]) == ("Succeeded", "AppECS-default-bg")
    assert "what it runs already" in blue_green.server.watari("deploy", "bg", "--task-definition", "bg:2").stdout
    before = deploy.list_deployments()["deployments"]
    blue_green.server.watari("deploy", "bg", "--tasks", "1")
    assert blue_green.service("bg")["desiredCount"] == 1 and deploy.list_deployments()["deployments"] == before


def test_rollback_and_back_to_any(blue_green):
    watari = blue_green.server.watari
    watari("rollback", "bg")
    assert blue_green.served() == "1"
    watari("rollback", "bg", "--to", "2")
    assert blue_green.served() == "2"
    blue_green.ecs.deregister_task_definition(taskDefinition="bg:1")
    assert "registered as bg:3" in watari("rollback", "bg").stdout, "a revision that was deregistered comes back as a new one"
    assert blue_green.served() == "1" and definition_of(blue_green, "bg") == "bg:3"


def test_rollback_goes_back_to_the_network_of_then(blue_green):
    ec2, watari = blue_green.server.client("ec2"), blue_green.server.watari
    other = ec2.create_security_group(GroupName="other", Description="as open as the default one", VpcId=blue_green.vpc)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]}])
    placement = {"subnets": blue_green.subnets, "securityGroups": [other], "assignPublicIp": "ENABLED"}
    serving = definition_of(blue_green, "bg")
    spec = {"version": 0.0, "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {
        "TaskDefinition": blue_green.service("bg")["taskDefinition"], "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 8000},
        "NetworkConfiguration": {"AwsvpcConfiguration": {"Subnets": placement["subnets"], "SecurityGroups": [other], "AssignPublicIp": "ENABLED"}}}}}]}
    deploy = blue_green.server.client("codedeploy")
    made = deploy.create_deployment(applicationName="AppECS-default-bg", deploymentGroupName="DgpECS-default-bg",
                                    revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}})
    deploy.get_waiter("deployment_successful").wait(deploymentId=made["deploymentId"], WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def groups():
        task = blue_green.ecs.describe_tasks(tasks=[blue_green.running_task("bg")])["tasks"][0]
        interface = next(detail["value"] for detail in task["attachments"][0]["details"] if detail["name"] == "networkInterfaceId")
        return [group["GroupId"] for group in ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]["Groups"]]

    assert groups() == [other]
    watari("rollback", "bg")
    assert groups() == [blue_green.group] and definition_of(blue_green, "bg") == serving


def test_status_shows_what_was_counted_and_rollback_ends_a_release_under_way(blue_green):
    watari = blue_green.server.watari
    blue_green.keep_blue("bg", 60)
    done = json.loads(watari("deploy", "bg", "--task-definition", "bg:2", "--no-wait", "--json").stdout)
    blue_green.until_served("2")
    deadline = time.monotonic() + 40
    while True:
        assert blue_green.served() == "2"
        service = json.loads(watari("status", "default", "--json").stdout)["clusters"][0]["services"][0]
        traffic = service.get("traffic", {})
        if traffic.get("target", {}).get("requests", 0) > 0:
            break
        assert time.monotonic() < deadline, traffic
    assert (traffic["serviceDeploymentArn"], traffic["trafficPercent"], traffic["judged"]) == (done["serviceDeploymentArn"], 100, True)
    assert traffic["target"]["taskDefinition"] == "bg:2" and traffic["source"]["taskDefinition"] == "bg:3"
    assert traffic["target"]["failures"] == 0 and traffic["source"]["requests"] > 0
    assert len({target["TargetGroup"] for target in service["targets"]}) == 2, "the targets of both revisions"
    shown = watari("status", "default").stdout
    assert "100 % of the traffic on bg:2" in shown and "REQUESTS" in shown and "0 (0.0 %)" in shown
    assert "was stopped: ROLLBACK_SUCCESSFUL" in watari("rollback", "bg").stdout
    assert blue_green.served() == "1"
    listed = json.loads(watari("deployments", "bg", "--json").stdout)["deployments"][0]
    assert listed["status"] == "ROLLBACK_SUCCESSFUL" and listed["traffic"]["target"]["requests"] > 0
    assert "traffic" not in json.loads(watari("status", "default", "--json").stdout)["clusters"][0]["services"][0]


def test_the_plan_counts_a_compressed_clock_and_names_waits(blue_green):
    """The tag watari:timeScale of a deployment group: on a server whose clock runs 60 times as fast, an hour of keeping blue takes six seconds."""
    deploy = blue_green.server.client("codedeploy")
    deploy.update_deployment_group(applicationName="AppECS-default-bg", currentDeploymentGroupName="DgpECS-default-bg", blueGreenDeploymentConfiguration={
        "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 60},
        "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 20}})
    assert plan(blue_green, "--image", "bg:1")["expectedSeconds"] >= 60
    group = "arn:aws:codedeploy:ap-northeast-1:123456789012:deploymentgroup:AppECS-default-bg/DgpECS-default-bg"
    deploy.tag_resource(ResourceArn=group, Tags=[{"Key": "watari:timeScale", "Value": "10"}])
    try:
        steps = {step["name"]: step["seconds"] for step in plan(blue_green, "--image", "bg:1")["steps"]}
        assert steps["both revisions kept for a quick way back"] == 6
        assert "waits for ContinueDeployment before traffic moves (at most 2 s)" in steps
        assert plan(blue_green, "--image", "bg:1")["longestSeconds"] == 1800 + 2 + 6  # the deadline and both waits
        blue_green.keep_blue("bg", 60)
        blue_green.server.watari("deploy", "bg", "--image", "bg:1", timeout=120)
    finally:
        deploy.untag_resource(ResourceArn=group, TagKeys=["watari:timeScale"])
        blue_green.keep_blue("bg", 0)


def test_a_release_does_not_wait_for_a_service_that_never_became_healthy(server, tmp_path):
    app = Application(server, tmp_path, "stuck")
    broken = register(app, "1", containerDefinitions=[app.task_definition()["containerDefinitions"][0] | {"command": ["sleep", "1000"]}])
    app.ecs.create_service(serviceName="stuck", taskDefinition=broken, **app.service_definition(
        deploymentController={"type": "CODE_DEPLOY"}, deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100}))
    app.make_deployment_group("stuck")
    server.watari("deploy", "stuck", "--task-definition", register(app, "2"))
    assert app.served() == "2"


def test_rollback_brings_back_the_image_that_ran_although_its_tag_has_moved(app, tmp_path):
    port = int(app.server.url.rsplit(":", 1)[1])

    def pushed(release):
        push(make_layout(str(tmp_path / release), files={"etc/release": release.encode()}), port, "moving:latest")

    def running():
        return app.server.watari("exec", "moving", "cat", "/etc/release").stdout

    container = app.task_definition()["containerDefinitions"][0] | {"image": "moving:latest"}
    pushed("first")
    definition = register(app, "1", family="moving", containerDefinitions=[container])
    app.ecs.create_service(serviceName="moving", taskDefinition=definition, **app.service_definition(loadBalancers=[]))
    app.wait_stable("moving")
    pushed("second")
    app.server.watari("deploy", "moving", "--force")
    assert running() == "second"
    app.server.own("PruneImages", graceSeconds=0)  # what a rollback leads to is kept
    assert "its images as they were" in app.server.watari("rollback", "moving").stdout
    assert running() == "first"
    app.server.watari("rollback", "moving")
    assert running() == "second"
