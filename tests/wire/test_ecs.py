"""ECS as boto3 and the aws-cli see it: what is accepted, refused, and described. Containers that run: tests/functional."""

import botocore.exceptions
import pytest

ACCOUNT = "123456789012"


def code_of(error):
    return error.value.response["Error"]["Code"]


def message_of(error):
    return error.value.response["Error"]["Message"]


def app(name="app", **more):
    return {"name": name, "image": "nowhere:1", "memory": 64, "portMappings": [{"containerPort": 8080, "name": "http"}], **more}


@pytest.fixture
def definition(ecs, request):
    family = request.node.name.replace("[", "-").replace("]", "")[:60]
    made = ecs.register_task_definition(family=family, networkMode="awsvpc", containerDefinitions=[app()])
    return made["taskDefinition"]["taskDefinitionArn"]


def test_the_default_cluster_is_there_from_the_first_use(ecs):
    cluster = ecs.describe_clusters()["clusters"][0]
    assert (cluster["clusterName"], cluster["status"]) == ("default", "ACTIVE")
    assert cluster["clusterArn"].endswith(f":{ACCOUNT}:cluster/default")


def test_task_definitions_count_their_revisions_and_never_reuse_them(ecs):
    def register():
        return ecs.register_task_definition(family="counted", containerDefinitions=[app()])["taskDefinition"]

    assert [register()["revision"] for _ in range(3)] == [1, 2, 3]
    ecs.deregister_task_definition(taskDefinition="counted:3")
    assert ecs.describe_task_definition(taskDefinition="counted")["taskDefinition"]["revision"] == 2
    assert register()["revision"] == 4
    assert ecs.list_task_definitions(familyPrefix="counted", sort="DESC")["taskDefinitionArns"][0].endswith("counted:4")


def test_what_is_not_supported_is_refused_by_name(ecs):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.register_task_definition(family="gpu", containerDefinitions=[
            app(resourceRequirements=[{"type": "GPU", "value": "1"}])])
    assert "resourceRequirements" in message_of(error)


def test_a_service_needs_what_ecs_needs(ecs, definition, network):
    def create(**changes):
        wanted = {"serviceName": "incomplete", "taskDefinition": definition, "desiredCount": 1, "networkConfiguration": network, **changes}
        with pytest.raises(botocore.exceptions.ClientError) as error:
            ecs.create_service(**{k: v for k, v in wanted.items() if v is not None})
        return code_of(error), message_of(error)

    assert create(networkConfiguration=None) == (
        "InvalidParameterException", "Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    assert create(serviceName="no spaces")[0] == "InvalidParameterException"
    assert create(taskDefinition="nothing:7") == ("ClientException", "Unable to describe task definition.")
    assert create(cluster="elsewhere") == ("ClusterNotFoundException", "Cluster not found.")
    code, message = create(loadBalancers=[{"targetGroupArn": "arn:aws:elasticloadbalancing:x:1:targetgroup/a/b", "containerName": "app",
                                           "containerPort": 8080}])
    assert code == "InvalidParameterException" and "target group" in message
    code, message = create(loadBalancers=[{"targetGroupArn": "arn:x", "containerName": "app", "containerPort": 9}])
    assert message == "The container app did not have a container port 9 defined."
    code, message = create(deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 100})
    assert "will block deployments" in message
    code, message = create(deploymentConfiguration={"earlySuccessCriteria": {"enable": True, "healthyPercent": 100, "sourceServiceRevisionCleanup": "DEFERRED"}})
    assert code == "InvalidParameterException" and "earlySuccessCriteria" in message
    assert create(role="ecsServiceRole") == ("InvalidParameterException", "You cannot specify an IAM role for services that require a service linked role.")
    code, message = create(availabilityZoneRebalancing="ENABLED")
    assert code == "InvalidParameterException" and message == "availabilityZoneRebalancing 'ENABLED' is not supported by Watari; use DISABLED"
    code, message = create(serviceConnectConfiguration={"enabled": True, "namespace": "ns", "services": [
        {"portName": "http", "clientAliases": [{"port": 80, "dnsName": "web"}]}]})
    assert "Use the container port" in message


def test_a_service_is_described_as_it_was_asked_for(ecs, definition, network):
    made = ecs.create_service(
        serviceName="described", taskDefinition=definition, desiredCount=0, networkConfiguration=network,
        deploymentConfiguration={"minimumHealthyPercent": 50, "maximumPercent": 150, "earlySuccessCriteria": {"enable": False},
                                 "deploymentCircuitBreaker": {"enable": True, "rollback": True}},
        tags=[{"key": "team", "value": "api"}])["service"]
    assert made["status"] == "ACTIVE" and made["taskDefinition"] == definition
    assert [deployment["status"] for deployment in made["deployments"]] == ["PRIMARY"]
    assert made["deployments"][0]["id"].startswith("ecs-svc/")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.create_service(serviceName="described", taskDefinition=definition, desiredCount=0, networkConfiguration=network)
    assert message_of(error) == "Creation of service was not idempotent."
    seen = ecs.describe_services(services=["described", "missing"], include=["TAGS"])
    assert seen["services"][0]["tags"] == [{"key": "team", "value": "api"}]
    assert seen["failures"] == [{"arn": made["serviceArn"].replace("described", "missing"), "reason": "MISSING"}]
    assert ecs.list_services()["serviceArns"].count(made["serviceArn"]) == 1


def test_services_that_are_not_there_have_their_own_errors(ecs):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.update_service(service="nobody", desiredCount=1)
    assert (code_of(error), message_of(error)) == ("ServiceNotFoundException", "Service not found.")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.delete_service(service="nobody")
    assert code_of(error) == "ServiceNotFoundException"


def test_deployments_and_revisions_are_described_twenty_at_a_time(ecs):
    for call, kind, argument in ((ecs.describe_service_deployments, "service-deployment", "serviceDeploymentArns"),
                                 (ecs.describe_service_revisions, "service-revision", "serviceRevisionArns")):
        arns = [f"arn:aws:ecs:ap-northeast-1:123456789012:{kind}/default/nobody/{number}" for number in range(21)]
        assert [failure["reason"] for failure in call(**{argument: arns[:20]})["failures"]] == ["MISSING"] * 20
        with pytest.raises(botocore.exceptions.ClientError, match="at most 20"):
            call(**{argument: arns})


def test_run_task_with_a_client_token_runs_once(ecs, definition, network):
    def run(token):
        answer = ecs.run_task(taskDefinition=definition, networkConfiguration=network, clientToken=token, count=2)
        return {task["taskArn"] for task in answer["tasks"]}

    assert run("a" * 32) == run("a" * 32)
    assert not run("a" * 32) & run("b" * 32)


def test_managed_tags_tell_whose_task_it_is(ecs, definition, network):
    task = ecs.run_task(taskDefinition=definition, networkConfiguration=network, enableECSManagedTags=True)["tasks"][0]["taskArn"]
    tags = ecs.describe_tasks(tasks=[task], include=["TAGS"])["tasks"][0]["tags"]
    assert {"key": "aws:ecs:clusterName", "value": "default"} in tags


def test_a_task_whose_image_is_not_there_says_so(ecs, definition, network):
    task = ecs.run_task(taskDefinition=definition, networkConfiguration=network)["tasks"][0]
    ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    task = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"][0]
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError") and "nowhere:1" in task["stoppedReason"]


def test_overrides_name_containers_of_the_definition(ecs, definition, network):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.run_task(taskDefinition=definition, networkConfiguration=network,
                     overrides={"containerOverrides": [{"name": "other", "command": ["true"]}]})
    assert message_of(error) == "Override for container named other is not a container in the TaskDefinition."


def test_tasks_that_are_not_there_are_missing(ecs):
    seen = ecs.describe_tasks(tasks=["0" * 32])
    assert seen["tasks"] == [] and seen["failures"][0]["reason"] == "MISSING"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.stop_task(task="0" * 32)
    assert message_of(error) == "The referenced task was not found."


def test_the_aws_cli_works_too(server):
    assert server.aws("ecs", "create-cluster", "--cluster-name", "cli")["cluster"]["status"] == "ACTIVE"
    assert any(arn.endswith("cluster/cli") for arn in server.aws("ecs", "list-clusters")["clusterArns"])
    refused = server.aws("ecs", "start-task", "--container-instances", "i-1", "--task-definition", "x", check=False)
    assert refused.returncode != 0
    assert server.aws("ecs", "delete-cluster", "--cluster", "cli")["cluster"]["status"] == "INACTIVE"


def test_a_namespace_is_named_by_its_arn_and_cloud_map_knows_it(server, ecs, network):
    cloud_map = server.client("servicediscovery")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        cloud_map.get_namespace(Id="ns-nowhere")
    assert code_of(error) == "NamespaceNotFound"
    ecs.register_task_definition(family="spaced", containerDefinitions=[app()])
    created = ecs.create_service(serviceName="spaced", taskDefinition="spaced", desiredCount=0, networkConfiguration=network,
                                 serviceConnectConfiguration={"enabled": True, "namespace": "shops"})["service"]
    arn = created["deployments"][0]["serviceConnectConfiguration"]["namespace"]
    assert arn.startswith(f"arn:aws:servicediscovery:{server.region}:123456789012:namespace/ns-")
    found = cloud_map.get_namespace(Id=arn.rsplit("/", 1)[1])["Namespace"]
    assert (found["Name"], found["Arn"], found["Type"], found["ServiceCount"]) == ("shops", arn, "HTTP", 1)
    assert [one["Name"] for one in cloud_map.list_namespaces()["Namespaces"]] == ["shops"]
    second = ecs.create_service(serviceName="spaced-2", taskDefinition="spaced", desiredCount=0, networkConfiguration=network,
                                serviceConnectConfiguration={"enabled": True, "namespace": arn})["service"]
    assert second["deployments"][0]["serviceConnectConfiguration"]["namespace"] == arn
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.create_service(serviceName="spaced-3", taskDefinition="spaced", desiredCount=0, networkConfiguration=network,
                           serviceConnectConfiguration={"enabled": True, "namespace": arn + "0"})
    assert code_of(error) == "NamespaceNotFoundException"
    for service in ("spaced", "spaced-2"):
        ecs.delete_service(service=service, force=True)


@pytest.mark.parametrize("strategy,member,value", [
    ("CANARY", "linearConfiguration", {"stepPercent": 10}), ("LINEAR", "canaryConfiguration", {"canaryPercent": 10}),
    ("BLUE_GREEN", "canaryConfiguration", {"canaryPercent": 10}), ("BLUE_GREEN", "linearConfiguration", {"stepBakeTimeInMinutes": 1}),
    ("ROLLING", "linearConfiguration", {"stepPercent": 10}), ("ROLLING", "canaryConfiguration", {"canaryPercent": 10}),
    ("ROLLING", "bakeTimeInMinutes", 5), ("CANARY", "canaryBakeTimeInMinutes", {"canaryConfiguration": {"canaryBakeTimeInMinutes": 1441}}),
    ("LINEAR", "stepBakeTimeInMinutes", {"linearConfiguration": {"stepBakeTimeInMinutes": -1}}), ("BLUE_GREEN", "bakeTimeInMinutes", 1441),
    ("CANARY", "canaryPercent", {"canaryConfiguration": {"canaryPercent": 0.25}}), ("LINEAR", "stepPercent", {"linearConfiguration": {"stepPercent": 2.9}})])
def test_what_belongs_to_another_strategy_or_is_out_of_bounds_is_refused_by_name(ecs, definition, network, strategy, member, value):
    configuration = value if isinstance(value, dict) and "Configuration" in str(value) else {member: value}
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.create_service(serviceName="strategies", taskDefinition=definition, desiredCount=0, networkConfiguration=network,
                           deploymentConfiguration={"strategy": strategy, **configuration})
    assert code_of(error) == "InvalidParameterException" and member in message_of(error), message_of(error)
    if member.endswith("Configuration"):
        assert f"only valid when the deployment strategy is {member.removesuffix('Configuration').upper()}; it is {strategy}" in message_of(error)


def test_an_update_is_measured_by_the_strategy_that_the_service_has(ecs, definition, network):
    ecs.create_service(serviceName="measured", taskDefinition=definition, desiredCount=0, networkConfiguration=network)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.update_service(service="measured", deploymentConfiguration={"canaryConfiguration": {"canaryPercent": 10}})
    assert "deploymentConfiguration.canaryConfiguration" in message_of(error) and "it is ROLLING" in message_of(error)
    ecs.delete_service(service="measured")


def test_pages_have_aws_s_bounds_and_do_not_shift(ecs, definition):
    for operation, more in (("list_clusters", {}), ("list_services", {}), ("list_tasks", {}), ("list_task_definitions", {}),
                            ("list_task_definition_families", {})):
        for size in (0, 101):
            with pytest.raises(botocore.exceptions.ClientError) as error:
                getattr(ecs, operation)(maxResults=size, **more)
            assert code_of(error) == "InvalidParameterException" and f"maxResults must be between 1 and 100; it is {size}" in message_of(error)

    def register(family):
        return ecs.register_task_definition(family=family, containerDefinitions=[app()])["taskDefinition"]["taskDefinitionArn"]

    def name(arn):
        return arn.split("/")[1]

    for sort, arrives, rest in (("ASC", "paged-a", ["paged-b:2", "paged-b:10"]), ("DESC", "paged-c", ["paged-b:2", "paged-b:1", "paged-a:1"])):
        if sort == "ASC":
            ecs.register_task_definition(family="paged-a", containerDefinitions=[app()])
            for _ in range(10):
                register("paged-b")
            for revision in (*range(3, 10),):
                ecs.deregister_task_definition(taskDefinition=f"paged-b:{revision}")
        pages = []
        token = {}
        while True:  # until the page that ends within these families
            page = ecs.list_task_definitions(sort=sort, maxResults=1, **token)
            pages += [name(arn) for arn in page["taskDefinitionArns"]]
            if pages[-1] == ("paged-b:1" if sort == "ASC" else "paged-b:10"):
                break
            token = {"nextToken": page["nextToken"]}
        register(arrives)  # it sorts before what was read
        following = []
        while len(following) < len(rest):
            page = ecs.list_task_definitions(sort=sort, maxResults=1, nextToken=page["nextToken"])
            following += [name(arn) for arn in page["taskDefinitionArns"]]
        assert [one for one in following if one.startswith("paged")][:2] == rest[:2], following
