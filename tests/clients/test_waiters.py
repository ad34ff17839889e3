"""What scripts wait with: boto3's waiters and `aws … wait`, also for things that will never come; and the GitHub action and
CircleCI's orb through CodeDeploy."""

import hashlib
import json
import pathlib
import sys

import botocore.exceptions
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from application import Application  # noqa: E402
from services import quick_server as server  # noqa: E402, F401


@pytest.fixture(scope="module")
def app(server, tmp_path_factory):
    made = Application(server, tmp_path_factory.mktemp("layout"), "awaited")
    made.create("awaited", deploymentController={"type": "CODE_DEPLOY"}, deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100})
    made.make_deployment_group("awaited")
    return made


def wait(client, name, **what):
    client.get_waiter(name).wait(**what, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def gives_up(client, name, **what):
    with pytest.raises(botocore.exceptions.WaiterError) as error:
        wait(client, name, **what)
    assert "terminal failure" in str(error.value)


def run(app, command, **more):
    network = {"awsvpcConfiguration": {"subnets": app.subnets, "securityGroups": [app.group]}}
    overrides = {"containerOverrides": [{"name": "app", "command": ["sh", "-c", command]}]}
    return app.ecs.run_task(taskDefinition="awaited", networkConfiguration=network, overrides=overrides, **more)["tasks"][0]["taskArn"]


def test_tasks(server, app):
    task = run(app, "trap 'exit 0' TERM; sleep 1000 & wait")
    wait(app.ecs, "tasks_running", tasks=[task])
    server.aws("ecs", "wait", "tasks-running", "--tasks", task)
    app.ecs.stop_task(task=task)
    wait(app.ecs, "tasks_stopped", tasks=[task])
    server.aws("ecs", "wait", "tasks-stopped", "--tasks", task)
    gives_up(app.ecs, "tasks_running", tasks=[task])
    gives_up(app.ecs, "tasks_running", tasks=[task[:-32] + "0" * 32])
    done = server.aws("ecs", "wait", "tasks-running", "--tasks", task, check=False)
    assert done.returncode == 255 and "terminal failure" in done.stderr


def test_services(server, app):
    definition = app.ecs.register_task_definition(**app.task_definition())["taskDefinition"]["taskDefinitionArn"]
    app.ecs.create_service(serviceName="short", taskDefinition=definition, **app.service_definition(loadBalancers=[]))
    wait(app.ecs, "services_stable", services=["short"])
    server.aws("ecs", "wait", "services-stable", "--services", "short", "awaited")
    app.ecs.delete_service(service="short", force=True)
    gives_up(app.ecs, "services_stable", services=["short"])
    wait(app.ecs, "services_inactive", services=["short"])
    server.aws("ecs", "wait", "services-inactive", "--services", "short")
    gives_up(app.ecs, "services_stable", services=["never"])
    gives_up(app.ecs, "services_inactive", services=["never"])


# -- aws-actions/amazon-ecs-deploy-task-definition 2.6 (index.js) with codedeploy-appspec: its calls, in its order ----------------------


def app_spec(release):
    """As people write it: keys begin with a small letter, the task definition is filled in by the action."""
    return {"version": 0.0, "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {
        "TaskDefinition": release, "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 8000}}}}]}


def act(app, definition):
    deploy = app.server.client("codedeploy")
    arn = app.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
    service = app.ecs.describe_services(services=["awaited"], cluster="default")["services"][0]
    assert service["deploymentController"]["type"] == "CODE_DEPLOY"
    group = {"applicationName": "AppECS-default-awaited", "deploymentGroupName": "DgpECS-default-awaited"}
    waits = deploy.get_deployment_group(**group)["deploymentGroupInfo"]["blueGreenDeploymentConfiguration"]
    # The action adds the two up; without one of them it would wait for NaN minutes.
    assert waits["deploymentReadyOption"]["waitTimeInMinutes"] + waits["terminateBlueInstancesOnDeploymentSuccess"]["terminationWaitTimeInMinutes"] == 0
    content = json.dumps(app_spec(arn))
    deployment = deploy.create_deployment(**group, description="the action's", revision={"revisionType": "AppSpecContent", "appSpecContent": {
        "content": content, "sha256": hashlib.sha256(content.encode()).hexdigest()}})["deploymentId"]
    wait(deploy, "deployment_successful", deploymentId=deployment)
    return deployment


def test_github_action_through_codedeploy(server, app):
    deployment = act(app, app.task_definition("action"))
    assert app.served() == "action"
    server.aws("deploy", "wait", "deployment-successful", "--deployment-id", deployment)
    deploy = server.client("codedeploy")
    app.keep_blue("awaited", 60)
    group = {"applicationName": "AppECS-default-awaited", "deploymentGroupName": "DgpECS-default-awaited"}
    arn = app.ecs.register_task_definition(**app.task_definition("stopped"))["taskDefinition"]["taskDefinitionArn"]
    stopped = deploy.create_deployment(**group, revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(app_spec(arn))}})["deploymentId"]
    deploy.stop_deployment(deploymentId=stopped, autoRollbackEnabled=True)
    gives_up(deploy, "deployment_successful", deploymentId=stopped)
    assert app.served() == "action"


# -- CircleCI's aws-ecs orb (v8): update_bluegreen_service_via_task_def.sh -----------------------------------------------------------


def orb(server, definition):
    """AppSpec in JSON with a whole number as version, and a capacity provider in it."""
    spec = {"version": 1, "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {
        "TaskDefinition": definition, "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 8000},
        "CapacityProviderStrategy": [{"CapacityProvider": "FARGATE", "Base": 1, "Weight": 1}]}}}]}
    revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}}
    return server.aws("deploy", "create-deployment", "--application-name", "AppECS-default-awaited", "--deployment-group-name", "DgpECS-default-awaited",
                      "--deployment-config-name", "CodeDeployDefault.ECSAllAtOnce", "--revision", json.dumps(revision), "--query", "deploymentId")


def test_circleci_orb_through_codedeploy(server, app):
    app.keep_blue("awaited", 0)
    definition = app.ecs.register_task_definition(**app.task_definition("orb"))["taskDefinition"]["taskDefinitionArn"]
    deployment = orb(server, definition)
    app.until_served("orb")
    server.aws("deploy", "wait", "deployment-successful", "--deployment-id", deployment)
    assert server.aws("deploy", "get-deployment", "--deployment-id", deployment, "--query", "deploymentInfo.status") == "Succeeded"
    # When the orb's time is over: stop-deployment with --auto-rollback-enabled.
    app.keep_blue("awaited", 60)
    stopped = orb(server, app.ecs.register_task_definition(**app.task_definition("late"))["taskDefinition"]["taskDefinitionArn"])
    app.until_served("late")
    server.aws("deploy", "stop-deployment", "--deployment-id", stopped, "--auto-rollback-enabled")
    info = server.aws("deploy", "get-deployment", "--deployment-id", stopped)["deploymentInfo"]
    assert info["rollbackInfo"]["rollbackDeploymentId"]
    app.until_served("orb")


def test_what_codedeploy_deploys_nobody_else_does_and_it_is_said_in_aws_s_words(app):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        app.ecs.update_service(service="awaited", taskDefinition="awaited")
    assert error.value.response["Error"]["Message"] == (
        "Unable to update task definition on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new deployment.")
