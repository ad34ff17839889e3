"""`watari deploy --plan`: faults are named before any task starts. And deploy, rollback and deployments on the command line."""

import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from application import Application  # noqa: E402
from services import quick_server as server  # noqa: E402, F401


@pytest.fixture(scope="module")
def app(server, tmp_path_factory):
    made = Application(server, tmp_path_factory.mktemp("layout"), "plan")
    made.create("plan", desiredCount=1)
    return made


def register(app, change=None, **container):
    definition = app.task_definition("2", **container)
    if change:
        change(definition)
    return app.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]


def plan(app, *arguments, service="plan"):
    done = app.server.watari("deploy", service, "--plan", "--json", *arguments, check=False)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["possible"] else 1), done.stderr
    return answer


def errors(answer):
    return {problem["code"] for problem in answer["problems"] if problem["severity"] == "ERROR"}


def tasks_of(app, service):
    return set(app.ecs.list_tasks(serviceName=service)["taskArns"]) | set(app.ecs.list_tasks(serviceName=service, desiredStatus="STOPPED")["taskArns"])


def test_a_good_release_is_possible_and_its_changes_are_named(app):
    answer = plan(app, "--task-definition", register(app))
    assert answer["possible"] and not errors(answer), answer["problems"]
    changes = {(change["subject"], change["field"]): (change["before"], change["after"]) for change in answer["changes"]}
    assert changes[("container app", "environment RELEASE")] == ("1", "2")
    assert answer["expectedSeconds"] > 0 and answer["mostTasks"] == 2


def sidecar(**more):
    def change(definition):
        definition["containerDefinitions"].append({"name": "sidecar", "image": "plan:1", "essential": False, "command": ["sleep", "100"], **more})
    return change


def without_port(definition):
    definition["containerDefinitions"][0]["portMappings"] = [{"containerPort": 9000, "protocol": "tcp"}]


def renamed(definition):
    definition["containerDefinitions"][0]["name"] = "other"


def host_volume(definition):
    definition["volumes"] = [{"name": "data", "host": {"sourcePath": "/nowhere/at/all"}}]
    definition["containerDefinitions"][0]["mountPoints"] = [{"sourceVolume": "data", "containerPath": "/data"}]


def task(**members):
    return lambda definition: definition.update(members)


# What is wrong with the new task definition -> what the plan calls it.
FAULTS = {
    "image-missing": (None, {"image": "nowhere:1"}, "IMAGE_NOT_FOUND"),
    "image-of-the-cloud-missing": (None, {"image": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/nowhere:1"}, "IMAGE_NOT_FOUND"),
    "image-tag-missing": (None, {"image": "plan:2"}, "IMAGE_NOT_FOUND"),
    "sidecar-image-missing": (sidecar(image="nowhere:1"), {}, "IMAGE_NOT_FOUND"),
    "secret-missing": (None, {"secrets": [{"name": "TOKEN", "valueFrom": "/plan/nothing"}]}, "SECRET_NOT_FOUND"),
    "secret-arn-missing": (None, {"secrets": [{"name": "TOKEN", "valueFrom": "arn:aws:ssm:ap-northeast-1:123456789012:parameter/plan/nothing"}]}, "SECRET_NOT_FOUND"),
    "container-renamed": (renamed, {}, "CONTAINER_NOT_FOUND"),
    "port-not-mapped": (without_port, {}, "PORT_NOT_MAPPED"),
    "port-taken": (sidecar(portMappings=[{"containerPort": 8000}]), {}, "PORT_TAKEN"),
    "host-path-missing": (host_volume, {}, "PATH_NOT_FOUND"),
    "too-much-memory": (task(memory="900000"), {}, "MEMORY"),
    "too-many-processors": (task(cpu="102400"), {}, "CPU"),
    "container-above-task": (None, {"memory": 1024}, "MEMORY"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_task_definition_is_caught(app, fault):
    change, container, code = FAULTS[fault]
    before = tasks_of(app, "plan")
    answer = plan(app, "--task-definition", register(app, change, **container))
    assert code in errors(answer), answer["problems"]
    assert tasks_of(app, "plan") == before


def test_an_inactive_task_definition_is_caught(app):
    definition = register(app)
    app.ecs.deregister_task_definition(taskDefinition=definition)
    assert "INACTIVE" in errors(plan(app, "--task-definition", definition))


def test_more_tasks_than_the_machine_holds_are_caught(app):
    assert "MEMORY" in errors(plan(app, "--tasks", "1000"))


def test_more_tasks_than_addresses_are_caught(app):
    ec2 = app.server.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    small = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.240.0/28")["Subnet"]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [small], "assignPublicIp": "ENABLED"}}
    app.create("plan-small", networkConfiguration=network, loadBalancers=[])
    assert "NO_ADDRESS" in errors(plan(app, "--tasks", "12", service="plan-small"))


def test_a_strategy_without_its_second_target_group_is_caught(app):
    found = errors(plan(app, "--strategy", "BLUE_GREEN"))
    assert {"TARGET_GROUP_NOT_FOUND", "RULE_NOT_FOUND"} <= found


def test_a_strategy_without_a_load_balancer_is_caught(app):
    app.create("plan-bare", loadBalancers=[])
    assert "NO_LOAD_BALANCER" in errors(plan(app, "--strategy", "CANARY", service="plan-bare"))


def test_a_security_group_in_the_way_is_caught(app):
    ec2 = app.server.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    closed = ec2.create_security_group(GroupName="plan-closed", Description="nothing comes in", VpcId=vpc)["GroupId"]
    definition = app.ecs.register_task_definition(**app.task_definition())["taskDefinition"]["taskDefinitionArn"]
    service = app.service_definition(networkConfiguration={"awsvpcConfiguration": {"subnets": app.subnets, "securityGroups": [closed]}})
    app.ecs.create_service(serviceName="plan-closed", taskDefinition=definition, **service | {"desiredCount": 0})
    assert "SECURITY_GROUP" in errors(plan(app, service="plan-closed"))
    ec2.authorize_security_group_ingress(GroupId=closed, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]}])
    assert "SECURITY_GROUP" not in errors(plan(app, service="plan-closed"))


def test_a_probe_that_cannot_succeed_is_caught(app):
    app.elbv2.modify_target_group(TargetGroupArn=app.target_group, HealthCheckPort="9999")
    try:
        assert "HEALTH_CHECK" in errors(plan(app))
    finally:
        app.elbv2.modify_target_group(TargetGroupArn=app.target_group, HealthCheckPort="traffic-port")


def test_a_target_group_without_a_listener_is_caught(app):
    other = app.make_target_group("plan-other")
    app.elbv2.modify_listener(ListenerArn=app.listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": other}])
    try:
        assert "NO_LISTENER" in errors(plan(app))
    finally:
        app.elbv2.modify_listener(ListenerArn=app.listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": app.target_group}])


def test_percentages_that_block_each_other_are_caught(app):
    app.ecs.update_service(service="plan", deploymentConfiguration={"maximumPercent": 150, "minimumHealthyPercent": 100})
    try:
        assert "BLOCKED" in errors(plan(app)), "one task: 150 % is one task"
    finally:
        app.ecs.update_service(service="plan", deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100})


def test_deploy_refuses_what_the_plan_refuses(app):
    before = tasks_of(app, "plan")
    done = app.server.watari("deploy", "plan", "--image", "nowhere:1", check=False)
    assert done.returncode == 1 and "IMAGE_NOT_FOUND" in done.stderr and "nothing was started" in done.stderr
    assert tasks_of(app, "plan") == before


def test_deploy_roll_back_and_list(app, tmp_path):
    watari = app.server.watari
    first = app.service("plan")["taskDefinition"].rsplit("/", 1)[1]
    second = register(app).rsplit("/", 1)[1]
    done = json.loads(watari("deploy", "--service", "plan", "--task-definition", second, "--json").stdout)
    assert done["taskDefinition"] == second and done["serviceDeploymentArn"]
    assert app.service("plan")["taskDefinition"].endswith(second) and len(app.service("plan")["deployments"]) == 1
    assert plan(app)["lastDeploymentSeconds"]
    shown = watari("deployments", "plan").stdout
    assert shown.index(second + " ") < shown.index(first + " ")
    assert "deployed" in watari("rollback", "plan").stdout
    assert app.service("plan")["taskDefinition"].endswith(first)
    watari("rollback", "plan", "--to", second.rsplit(":", 1)[1])
    assert app.service("plan")["taskDefinition"].endswith(second)
    listed = json.loads(watari("rollback", "plan", "--list", "--json").stdout)["deployments"]
    assert [release["taskDefinition"] for release in listed[:4]] == [second, first, second, first]
    missing = watari("rollback", "plan", "--to", "999", check=False)
    assert missing.returncode == 1 and first in missing.stderr


def test_an_image_is_deployed_under_a_new_revision(app):
    from busybox_image import make_layout, push
    import tempfile
    with tempfile.TemporaryDirectory() as layout:
        push(make_layout(layout, files={"etc/release": b"two"}), int(app.server.url.rsplit(":", 1)[1]), "plan:two")
    before = app.service("plan")["taskDefinition"]
    app.server.watari("deploy", "plan", "--image", "app=plan:two")
    now = app.ecs.describe_task_definition(taskDefinition=app.service("plan")["taskDefinition"])["taskDefinition"]
    assert now["taskDefinitionArn"] != before and now["containerDefinitions"][0]["image"] == "plan:two"
    assert app.server.watari("exec", "plan", "cat", "/etc/release").stdout.strip() == "two"


def test_a_release_that_fails_says_why_and_leaves_the_old_one(app):
    before = app.service("plan")["taskDefinition"]
    bad = register(app, command=["sh", "-c", "echo no database; exit 7"])
    done = app.server.watari("deploy", "plan", "--task-definition", bad, check=False)
    assert done.returncode == 1 and "ROLLBACK" in done.stderr and "no database" in done.stderr + done.stdout
    assert app.service("plan")["taskDefinition"] == before


def test_task_sets_are_a_client_s_own_business(app):
    app.ecs.create_service(serviceName="plan-sets", desiredCount=1, deploymentController={"type": "EXTERNAL"})
    done = app.server.watari("deploy", "plan-sets", "--plan", "--json", "--task-definition", register(app), check=False)
    assert done.returncode == 1 and "made by another tool" in done.stderr


def test_the_plan_counts_the_bake_time_that_a_tag_says(app):
    service = app.ecs.describe_services(services=["plan"])["services"][0]["serviceArn"]
    kept = "both revisions kept for a quick way back"
    assert kept not in {step["name"] for step in plan(app, "--strategy", "BLUE_GREEN")["steps"]}
    app.ecs.tag_resource(resourceArn=service, tags=[{"key": "watari:bakeTime", "value": "2m"}])
    try:
        assert {step["name"]: step["seconds"] for step in plan(app, "--strategy", "BLUE_GREEN")["steps"]}[kept] == 2  # a minute is a second here
    finally:
        app.ecs.untag_resource(resourceArn=service, tagKeys=["watari:bakeTime"])


def test_the_plan_counts_what_hooks_and_people_may_take(app):
    """A pause follows the compressed clock, a hook does not; hooks of the same stage run side by side."""
    pause = {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"], "timeoutConfiguration": {"timeoutInMinutes": 60}}
    hook = {"hookTargetArn": "http://127.0.0.1:9/", "lifecycleStages": ["PRE_SCALE_UP", "POST_SCALE_UP"], "timeoutConfiguration": {"timeoutInMinutes": 2}}
    before = app.ecs.describe_services(services=["plan"])["services"][0]["deploymentConfiguration"]
    without = plan(app)["longestSeconds"]
    assert without >= 1800  # the deadline
    try:
        app.ecs.update_service(service="plan", deploymentConfiguration=before | {"lifecycleHooks": [pause, hook]})
        seen = plan(app)
    finally:
        app.ecs.update_service(service="plan", deploymentConfiguration=before | {"lifecycleHooks": []})
    assert seen["longestSeconds"] == without + 2 * 120, seen["steps"]  # an hour's pause is a minute here, within the hook's two
