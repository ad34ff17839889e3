"""Releases of rolling services by the tools that teams use, unmodified: aws-cli as CircleCI's aws-ecs orb drives it, the calls of the GitHub
action amazon-ecs-deploy-task-definition, fabfuel's ecs-deploy, and ecspresso (whose `verify` needs AWS's names: test_code_deploy.py)."""

import json
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from application import Application  # noqa: E402
from presso import Ecspresso  # noqa: E402

NAME = "rolling"


@pytest.fixture(scope="module")
def application(server, tmp_path_factory):
    return Application(server, tmp_path_factory.mktemp("layout"), NAME)


# -- aws-cli, as the scripts of CircleCI's aws-ecs orb (v8) call it ------------------------------------------------------------


def test_circleci_orb(server, application):
    application.create("orb", tags=[{"key": "team", "value": "a"}])
    aws = server.aws
    described = aws("ecs", "describe-task-definition", "--task-definition", NAME, "--include", "TAGS")
    definition = described["taskDefinition"]
    containers = definition["containerDefinitions"]
    containers[0]["command"] = application.task_definition("orb")["containerDefinitions"][0]["command"]
    registered = aws("ecs", "register-task-definition", "--family", NAME, "--container-definitions", json.dumps(containers),
                     "--task-role-arn", definition["taskRoleArn"], "--execution-role-arn", definition["executionRoleArn"], "--network-mode", "awsvpc",
                     "--volumes", json.dumps(definition["volumes"]), "--placement-constraints", json.dumps(definition["placementConstraints"]),
                     "--requires-compatibilities", *definition["requiresCompatibilities"], "--cpu", definition["cpu"], "--memory", definition["memory"])
    revision = registered["taskDefinition"]["taskDefinitionArn"]
    updated = aws("ecs", "update-service", "--cluster", "default", "--service", "orb", "--task-definition", revision, "--force-new-deployment",
                  "--deployment-configuration", "deploymentCircuitBreaker={enable=true,rollback=true}")
    assert updated["service"]["taskDefinition"] == revision
    aws("ecs", "tag-resource", "--resource-arn", updated["service"]["serviceArn"], "--tags", "key=revision,value=orb")
    aws("ecs", "wait", "services-stable", "--cluster", "default", "--services", "orb")
    # verify_revision_is_deployed.sh
    shown = aws("ecs", "describe-services", "--cluster", "default", "--services", "orb",
                "--query", "services[0].{n: length(deployments), d: deployments[0].taskDefinition, s: deployments[0].status, r: runningCount, w: desiredCount}")
    assert shown == {"n": 1, "d": revision, "s": "PRIMARY", "r": 1, "w": 1}
    assert application.served() == "orb"
    # run_task.sh
    ran = aws("ecs", "run-task", "--cluster", "default", "--count", "1", "--task-definition", NAME, "--launch-type", "FARGATE", "--network-configuration",
              f"awsvpcConfiguration={{subnets=[{','.join(application.subnets)}],assignPublicIp=ENABLED}}", "--overrides",
              json.dumps({"containerOverrides": [{"name": "app", "command": ["sh", "-c", "exit 4"]}]}), "--enable-ecs-managed-tags")
    task = ran["tasks"][0]["taskArn"]
    aws("ecs", "wait", "tasks-stopped", "--cluster", "default", "--tasks", task)
    assert aws("ecs", "describe-tasks", "--cluster", "default", "--tasks", task)["tasks"][0]["containers"][0]["exitCode"] == 4
    aws("ecs", "delete-service", "--cluster", "default", "--service", "orb", "--force")


# -- aws-actions/amazon-ecs-deploy-task-definition 2.6 (index.js): its calls, in its order --------------------------------------


def act(ecs, definition, service):
    """registerTaskDefinition, describeServices, updateService, waiter, describeServices: what the action says in the end."""
    registered = ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
    described = ecs.describe_services(services=[service], cluster="default")
    assert not described["failures"] and described["services"][0]["status"] == "ACTIVE"
    assert described["services"][0].get("deploymentController", {"type": "ECS"})["type"] == "ECS"
    updated = ecs.update_service(cluster="default", service=service, taskDefinition=registered, forceNewDeployment=False, propagateTags="NONE")
    primary = [d["id"] for d in updated["service"]["deployments"] if d["status"] == "PRIMARY"][0]
    ecs.get_waiter("services_stable").wait(services=[service], cluster="default", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    after = ecs.describe_services(services=[service], cluster="default")["services"][0]
    last = [d for d in after["deployments"] if d["status"] == "PRIMARY"][0]
    if last["id"] != primary:
        return "rolled back"
    return last["rolloutState"]


def test_github_action(application):
    application.create("action")
    assert act(application.ecs, application.task_definition("action"), "action") == "COMPLETED"
    assert application.served() == "action"
    broken = application.task_definition("broken")
    broken["containerDefinitions"][0]["command"] = ["sh", "-c", "exit 1"]
    assert act(application.ecs, broken, "action") in ("rolled back", "FAILED"), "a release that was rolled back must not look like a good one"
    assert application.served() == "action"
    application.ecs.delete_service(service="action", force=True)


# -- fabfuel/ecs-deploy ---------------------------------------------------------------------------------------------------------


def fabfuel(server, *arguments, check=True):
    program = pathlib.Path(sys.executable).parent / "ecs"
    if not program.exists():
        pytest.skip("fabfuel's ecs-deploy is not installed: run scripts/setup")
    done = subprocess.run([program, *arguments, "--region", server.region], env=server.environment(), capture_output=True, text=True, timeout=200)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def test_fabfuel(server, application):
    # Without a circuit breaker: the tool takes any steady service for a good release, also one that was rolled back.
    first = application.create("fabfuel", deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100})
    deployed = fabfuel(server, "deploy", "default", "fabfuel", "-e", "app", "RELEASE", "fab", "--timeout", "120", "--sleep-time", "1")
    assert "Deployment successful" in deployed.stdout
    now = application.service("fabfuel")
    environment = application.ecs.describe_task_definition(taskDefinition=now["taskDefinition"])["taskDefinition"]["containerDefinitions"][0]["environment"]
    assert {"name": "RELEASE", "value": "fab"} in environment and now["taskDefinition"] != first
    with pytest.raises(Exception):
        application.ecs.update_service(service="fabfuel", taskDefinition=first)  # it deregisters what it replaced
    fabfuel(server, "scale", "default", "fabfuel", "2", "--timeout", "120", "--sleep-time", "1")
    assert application.service("fabfuel")["runningCount"] == 2
    failed = fabfuel(server, "deploy", "default", "fabfuel", "-i", "app", "nowhere:1", "--timeout", "5", "--sleep-time", "1", "--rollback", check=False)
    assert failed.returncode != 0 and "Rollback" in failed.stdout, failed.stdout + failed.stderr
    assert application.service("fabfuel")["taskDefinition"] == now["taskDefinition"]
    ran = fabfuel(server, "run", "default", NAME, "--launchtype", "FARGATE", "--subnet", application.subnets[0], "--securitygroup", application.group, "-c", "app", "true", check=False)
    assert "Successfully started" in ran.stdout, ran.stdout + ran.stderr
    application.ecs.delete_service(service="fabfuel", force=True)


# -- ecspresso ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ecspresso(application, tmp_path_factory):
    return Ecspresso(application, tmp_path_factory.mktemp("ecspresso"), "presso")


def test_ecspresso_creates_and_updates(ecspresso, application):
    assert "Service is stable now. Completed!" in ecspresso("deploy")
    assert application.served() == "1"
    assert '+          "value": "2"' in ecspresso("diff", RELEASE="2")
    ecspresso("deploy", RELEASE="2")
    assert application.served() == "2"
    assert ecspresso("diff", RELEASE="2").count("+++") == 0, "what was deployed must not differ from its files"
    assert "presso" in ecspresso("status") and "RUNNING" in ecspresso("tasks")
    assert ecspresso("revisions").count(NAME + ":") >= 2


def test_ecspresso_changes_attributes_and_tags(ecspresso, application):
    ecspresso.write_service(tags=[{"key": "team", "value": "b"}], enableExecuteCommand=False)
    ecspresso("deploy", "--skip-task-definition")
    service = application.ecs.describe_services(services=["presso"], include=["TAGS"])["services"][0]
    assert service["enableExecuteCommand"] is False and {"key": "team", "value": "b"} in service["tags"]
    ecspresso.write_service()


def test_ecspresso_rolls_back(ecspresso, application):
    before = application.service("presso")["taskDefinition"]
    output = ecspresso("rollback", "--no-deregister-task-definition") if "--no-deregister" in ecspresso("rollback", "--help") else ecspresso("rollback")
    after = application.service("presso")["taskDefinition"]
    assert int(after.rsplit(":", 1)[1]) < int(before.rsplit(":", 1)[1]), output


def test_ecspresso_scales_within_the_bounds_of_autoscaling(ecspresso, application):
    what = {"ServiceNamespace": "ecs", "ResourceId": "service/default/presso", "ScalableDimension": "ecs:service:DesiredCount"}
    scaling = application.server.client("application-autoscaling")
    scaling.register_scalable_target(**what, MinCapacity=1, MaxCapacity=4)
    ecspresso("scale", "--tasks", "2", "--auto-scaling-max", "3", "--suspend-auto-scaling")
    target = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
    assert (target["MaxCapacity"], target["SuspendedState"]["DynamicScalingInSuspended"]) == (3, True)
    assert application.service("presso")["runningCount"] == 2
    ecspresso("wait")


def test_ecspresso_runs_tasks_and_tells_their_exit_code(ecspresso):
    def command(code):
        return json.dumps({"containerOverrides": [{"name": "app", "command": ["sh", "-c", f"echo hello from a task; sleep 3; exit {code}"]}]})
    assert "hello from a task" in ecspresso("run", "--overrides", command(0))
    assert "exit code: 3" in ecspresso("run", "--overrides", command(3), code=1)


def test_ecspresso_reads_the_service_back(ecspresso, application, tmp_path):
    ecspresso.init(tmp_path)
    assert ecspresso.difference(tmp_path) == "", "what it wrote down must be what there is"


def test_ecspresso_registers_deregisters_and_deletes(ecspresso, application):
    ecspresso("register", RELEASE="9")
    newest = application.ecs.list_task_definitions(familyPrefix=NAME, sort="DESC")["taskDefinitionArns"][0]
    ecspresso("deregister", "--revision", newest.rsplit(":", 1)[1], "--force")
    assert newest not in application.ecs.list_task_definitions(familyPrefix=NAME)["taskDefinitionArns"]
    ecspresso("delete", "--force", "--terminate")
    assert application.ecs.describe_services(services=["presso"])["services"][0]["status"] in ("DRAINING", "INACTIVE")


def test_ecspresso_reads_service_connect_names_back(application, tmp_path_factory, tmp_path):
    """It asks Cloud Map for the namespace that a service's ARN names, and cannot do without an answer."""
    named = Ecspresso(application, tmp_path_factory.mktemp("named"), "named", loadBalancers=[], serviceConnectConfiguration={
        "enabled": True, "namespace": "apps", "services": [{"portName": "http", "discoveryName": "named", "clientAliases": [{"port": 8000, "dnsName": "named"}]}]})
    definition = json.loads((named.directory / "task.json").read_text())
    definition["containerDefinitions"][0]["portMappings"][0]["name"] = "http"
    (named.directory / "task.json").write_text(json.dumps(definition))
    service = json.loads((named.directory / "service.json").read_text())
    del service["healthCheckGracePeriodSeconds"]
    (named.directory / "service.json").write_text(json.dumps(service))
    named("deploy")
    named.init(tmp_path)
    assert json.loads((tmp_path / "service.json").read_text())["serviceConnectConfiguration"]["namespace"] == "apps"
    assert named.difference() == "" and named.difference(tmp_path) == ""
    named("delete", "--force", "--terminate")
