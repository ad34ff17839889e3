"""CodeDeploy as boto3 (CBOR) and older clients (JSON 1.1) see it: what is accepted, refused and described. Deployments that run:
tests/functional/test_codedeploy.py."""

import datetime
import hashlib
import json
import pathlib
import sys

import botocore.auth
import botocore.awsrequest
import botocore.exceptions
import botocore.model
import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from services import Balanced  # noqa: E402

ROLE = "arn:aws:iam::123456789012:role/codedeploy"


@pytest.fixture(params=["json", "smithy-rpc-v2-cbor"])
def deploy(server, request, monkeypatch):
    """Both of the service's protocols: botocore takes the first of its own order that the model has."""
    order = botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS
    monkeypatch.setattr(botocore.model, "PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", (request.param, *order))
    client = server.client("codedeploy")
    assert client.meta.service_model.resolved_protocol == request.param
    return client


@pytest.fixture(scope="module")
def place(server, network):
    """A service with the controller CODE_DEPLOY, and what a deployment group needs to know of it."""
    balanced = Balanced(server, "cd-wire")
    ecs = server.client("ecs")
    container = {"name": "app", "image": "nowhere:1", "memory": 64, "portMappings": [{"containerPort": 8080}]}
    ecs.register_task_definition(family="cd-wire", containerDefinitions=[container])
    ecs.create_service(serviceName="cd-wire", taskDefinition="cd-wire", desiredCount=0, networkConfiguration=network,
                       deploymentController={"type": "CODE_DEPLOY"}, loadBalancers=balanced.load_balancers(False))
    ecs.create_service(serviceName="rolling", taskDefinition="cd-wire", desiredCount=0, networkConfiguration=network)
    return balanced


def group_members(server, place, service="cd-wire", **more):
    listener = server.client("elbv2").describe_listeners(LoadBalancerArn=place.balancer["LoadBalancerArn"])["Listeners"][0]["ListenerArn"]
    return {"serviceRoleArn": ROLE, "ecsServices": [{"clusterName": "default", "serviceName": service}],
            "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
            "loadBalancerInfo": {"targetGroupPairInfoList": [{"targetGroups": [{"name": "cd-wire-blue"}, {"name": "cd-wire-green"}],
                                                              "prodTrafficRoute": {"listenerArns": [listener]}}]}, **more}


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def json_request(server, operation, body):
    """As aws-cli v1 and the Go SDK send it."""
    session = server.client("codedeploy")
    request = botocore.awsrequest.AWSRequest("POST", server.url + "/", data=json.dumps(body), headers={
        "X-Amz-Target": f"CodeDeploy_20141006.{operation}", "Content-Type": "application/x-amz-json-1.1"})
    credentials = session._request_signer._credentials
    botocore.auth.SigV4Auth(credentials, "codedeploy", server.region).add_auth(request)
    return requests.post(server.url + "/", data=request.data, headers=dict(request.headers))


def test_the_protocols_are_chosen_by_the_request_and_say_the_same(server, deploy):
    cbor = deploy.meta.service_model.resolved_protocol == "smithy-rpc-v2-cbor"
    name = "cbor" if cbor else "json"
    made = deploy.create_application(applicationName=name, computePlatform="ECS")
    answer = deploy.get_application(applicationName=name)
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-type"] == ("application/cbor" if cbor else "application/x-amz-json-1.1")
    assert answer["application"]["applicationId"] == made["applicationId"]
    older = json_request(server, "GetApplication", {"applicationName": name})
    assert abs(older.json()["application"]["createTime"] - answer["application"]["createTime"].timestamp()) < 0.002
    assert refused(deploy.get_application, applicationName="nobody") == (
        "ApplicationDoesNotExistException", "No application found for name: nobody")
    error = json_request(server, "GetApplication", {"applicationName": "nobody"})
    assert (error.status_code, error.json()["__type"]) == (400, "ApplicationDoesNotExistException")


def test_garbage_instead_of_cbor_is_refused(server, deploy):
    def send(body, **headers):
        url = server.url + "/service/CodeDeploy_20141006/operation/GetApplication"
        request = botocore.awsrequest.AWSRequest("POST", url, data=body, headers={
            "smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor", **headers})
        botocore.auth.SigV4Auth(deploy._request_signer._credentials, "codedeploy", server.region).add_auth(request)
        return requests.post(url, data=body, headers=dict(request.headers))

    for body in (b"\xff", b"\xbf", b"\xa1aa", b"\x9b" + b"\xff" * 8, b"\x81" * 5000, b"{}"):
        answer = send(body)
        assert answer.status_code == 400 and b"SerializationException" in answer.content, body
    assert send(b"\xa0", **{"smithy-protocol": "rpc-v3"}).status_code == 400


def test_applications_live_as_terraform_expects(deploy, server):
    deploy.create_application(applicationName="terraformed", computePlatform="ECS")
    arn = f"arn:aws:codedeploy:{server.region}:123456789012:application:terraformed"
    deploy.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    deploy.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert deploy.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert refused(deploy.create_application, applicationName="terraformed", computePlatform="ECS")[0] == "ApplicationAlreadyExistsException"
    deploy.update_application(applicationName="terraformed", newApplicationName="renamed")
    assert "renamed" in deploy.list_applications()["applications"]
    info = deploy.batch_get_applications(applicationNames=["renamed", "terraformed"])["applicationsInfo"]
    assert [entry["applicationName"] for entry in info] == ["renamed"]
    deploy.delete_application(applicationName="renamed")
    assert refused(deploy.get_application, applicationName="renamed")[0] == "ApplicationDoesNotExistException"
    assert "Server" in refused(deploy.create_application, applicationName="old", computePlatform="Server")[1]


def test_configurations_predefined_and_own(deploy):
    names = deploy.list_deployment_configs()["deploymentConfigsList"]
    assert {"CodeDeployDefault.ECSAllAtOnce", "CodeDeployDefault.ECSCanary10Percent5Minutes", "CodeDeployDefault.ECSCanary10Percent15Minutes",
            "CodeDeployDefault.ECSLinear10PercentEvery1Minutes", "CodeDeployDefault.ECSLinear10PercentEvery3Minutes"} <= set(names)
    routing = {"type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 25, "linearInterval": 2}}
    deploy.create_deployment_config(deploymentConfigName="quarters", computePlatform="ECS", trafficRoutingConfig=routing)
    assert deploy.get_deployment_config(deploymentConfigName="quarters")["deploymentConfigInfo"]["trafficRoutingConfig"] == routing
    bad = {"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 100, "canaryInterval": 1}}
    assert refused(deploy.create_deployment_config, deploymentConfigName="all", computePlatform="ECS",
                   trafficRoutingConfig=bad)[0] == "InvalidTrafficRoutingConfigurationException"
    deploy.delete_deployment_config(deploymentConfigName="quarters")
    assert refused(deploy.get_deployment_config, deploymentConfigName="quarters")[0] == "DeploymentConfigDoesNotExistException"
    assert refused(deploy.delete_deployment_config, deploymentConfigName="CodeDeployDefault.ECSAllAtOnce")[0] == "InvalidOperationException"


def test_a_deployment_group_says_back_what_it_was_given_with_both_waits(server, deploy, place):
    deploy.create_application(applicationName="grouped", computePlatform="ECS")
    members = group_members(server, place)
    made = deploy.create_deployment_group(applicationName="grouped", deploymentGroupName="blue-green", **members)
    info = deploy.get_deployment_group(applicationName="grouped", deploymentGroupName="blue-green")["deploymentGroupInfo"]
    assert info["deploymentGroupId"] == made["deploymentGroupId"]
    assert info["deploymentConfigName"] == "CodeDeployDefault.ECSAllAtOnce" and info["computePlatform"] == "ECS"
    waits = info["blueGreenDeploymentConfiguration"]
    assert waits["deploymentReadyOption"] == {"actionOnTimeout": "CONTINUE_DEPLOYMENT", "waitTimeInMinutes": 0}
    assert waits["terminateBlueInstancesOnDeploymentSuccess"] == {"action": "TERMINATE", "terminationWaitTimeInMinutes": 0}
    assert info["loadBalancerInfo"]["targetGroupPairInfoList"] == members["loadBalancerInfo"]["targetGroupPairInfoList"]
    deploy.update_deployment_group(
        applicationName="grouped", currentDeploymentGroupName="blue-green", newDeploymentGroupName="bg",
        deploymentConfigName="CodeDeployDefault.ECSCanary10Percent5Minutes",
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
        blueGreenDeploymentConfiguration={"terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 5},
                                          "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 60}})
    assert deploy.list_deployment_groups(applicationName="grouped")["deploymentGroups"] == ["bg"]
    info = deploy.batch_get_deployment_groups(applicationName="grouped", deploymentGroupNames=["bg"])["deploymentGroupsInfo"][0]
    assert info["blueGreenDeploymentConfiguration"]["deploymentReadyOption"]["waitTimeInMinutes"] == 60
    assert info["autoRollbackConfiguration"] == {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}
    assert info["ecsServices"] == [{"serviceName": "cd-wire", "clusterName": "default"}]
    assert refused(deploy.create_deployment_group, applicationName="grouped", deploymentGroupName="second",
                   **members)[0] == "ECSServiceMappingLimitExceededException"
    deploy.delete_application(applicationName="grouped")


def test_a_deployment_group_is_checked_against_what_is_there(server, deploy, place):
    deploy.create_application(applicationName="checked", computePlatform="ECS")

    def create(**changes):
        members = {**group_members(server, place), **changes}
        return refused(deploy.create_deployment_group, applicationName="checked", deploymentGroupName="g", **members)

    assert create(ecsServices=[{"clusterName": "default", "serviceName": "nobody"}])[0] == "InvalidECSServiceException"
    assert "CODE_DEPLOY" in create(ecsServices=[{"serviceName": "rolling"}])[1]
    pair = group_members(server, place)["loadBalancerInfo"]["targetGroupPairInfoList"][0]

    def with_pair(**changes):
        return create(loadBalancerInfo={"targetGroupPairInfoList": [{**pair, **changes}]})

    assert with_pair(targetGroups=[{"name": "cd-wire-blue"}, {"name": "gone"}])[0] == "InvalidTargetGroupPairException"
    assert with_pair(targetGroups=[{"name": "cd-wire-blue"}])[0] == "InvalidTargetGroupPairException"
    assert with_pair(prodTrafficRoute={"listenerArns": ["arn:gone"]})[0] == "InvalidLoadBalancerInfoException"
    assert create(deploymentConfigName="nothing")[0] == "DeploymentConfigDoesNotExistException"
    assert create(alarmConfiguration={"enabled": True, "alarms": []})[0] == "InvalidAlarmConfigException"
    assert "triggerConfigurations" in create(triggerConfigurations=[{"triggerName": "t"}])[1]
    deploy.delete_application(applicationName="checked")


def test_update_service_leaves_deploying_to_codedeploy(ecs, place, network):
    def update(**what):
        return refused(ecs.update_service, service="cd-wire", **what)

    said = ("InvalidParameterException", "Unable to update task definition on services with a CODE_DEPLOY deployment controller. "
                                         "Use AWS CodeDeploy to trigger a new deployment.")
    assert update(taskDefinition="cd-wire") == said
    assert "Unable to update network parameters on services" in update(networkConfiguration=network)[1]
    assert "Cannot force a new deployment on services" in update(forceNewDeployment=True)[1]
    ecs.update_service(service="cd-wire", desiredCount=0, healthCheckGracePeriodSeconds=7)
    service = ecs.describe_services(services=["cd-wire"])["services"][0]
    assert service["deploymentController"] == {"type": "CODE_DEPLOY"} and service["healthCheckGracePeriodSeconds"] == 7
    assert service["taskSets"][0]["status"] == "PRIMARY" and service["taskSets"][0]["scale"] == {"value": 100.0, "unit": "PERCENT"}


def spec(definition="cd-wire", container="app", port=8080):
    return json.dumps({"version": 1, "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {
        "TaskDefinition": definition, "LoadBalancerInfo": {"ContainerName": container, "ContainerPort": port}}}}]})


def test_a_bad_revision_is_refused_before_anything_starts(server, deploy, place):
    deploy.create_application(applicationName="revised", computePlatform="ECS")
    deploy.create_deployment_group(applicationName="revised", deploymentGroupName="g", **group_members(server, place))

    def create(revision):
        return refused(deploy.create_deployment, applicationName="revised", deploymentGroupName="g", revision=revision)

    def content(text, **more):
        return {"revisionType": "AppSpecContent", "appSpecContent": {"content": text, **more}}

    assert create(content("nonsense"))[0] == "InvalidRevisionException"
    assert create(content(spec(), sha256="0" * 64))[0] == "InvalidRevisionException"
    assert "gone:1" in create(content(spec("gone:1")))[1]
    assert "no container app with the container port 99" in create(content(spec(port=99)))[1]
    strategy = spec().replace('"LoadBalancerInfo"', '"CapacityProviderStrategy": "FARGATE", "LoadBalancerInfo"')
    assert "CapacityProviderStrategy must be a list" in create(content(strategy))[1]
    assert "each entry of Hooks" in create(content(spec()[:-1] + ', "Hooks": ["BeforeInstall"]}'))[1]
    assert "s3Location" in create({"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}})[1]
    # Only the deployment that CreateService made is there.
    listed = deploy.list_deployments(applicationName="revised", deploymentGroupName="g")["deployments"]
    assert len(listed) == 1
    revision = content(spec())
    deploy.register_application_revision(applicationName="revised", revision=revision, description="first")
    found = deploy.get_application_revision(applicationName="revised", revision=revision)
    assert found["revisionInfo"]["description"] == "first"
    assert found["revision"]["appSpecContent"]["sha256"] == hashlib.sha256(spec().encode()).hexdigest()
    assert len(deploy.list_application_revisions(applicationName="revised")["revisions"]) == 1
    deploy.delete_application(applicationName="revised")


def test_unknown_deployments_have_codedeploys_errors(deploy):
    assert refused(deploy.get_deployment, deploymentId="d-AAAAAAAAA")[0] == "DeploymentDoesNotExistException"
    assert refused(deploy.get_deployment, deploymentId="nonsense")[0] == "InvalidDeploymentIdException"
    assert refused(deploy.stop_deployment, deploymentId="d-AAAAAAAAA")[0] == "DeploymentDoesNotExistException"
    assert refused(deploy.continue_deployment, deploymentId="d-AAAAAAAAA")[0] == "DeploymentDoesNotExistException"


def test_lists_and_batches_take_their_filters(server, deploy, place):
    deploy.create_application(applicationName="listed", computePlatform="ECS")
    deploy.create_deployment_group(applicationName="listed", deploymentGroupName="g", **group_members(server, place))
    group = {"applicationName": "listed", "deploymentGroupName": "g"}
    (made,) = deploy.list_deployments(**group)["deployments"]  # the one that CreateService made
    info = deploy.get_deployment(deploymentId=made)["deploymentInfo"]
    created, second = info["createTime"], datetime.timedelta(seconds=1)
    assert deploy.list_deployments(**group, createTimeRange={"start": created - second, "end": created + second})["deployments"] == [made]
    assert deploy.list_deployments(**group, createTimeRange={"start": created + second})["deployments"] == []
    assert deploy.list_deployments(**group, createTimeRange={"end": created - second})["deployments"] == []
    assert deploy.list_deployments(**group, includeOnlyStatuses=["Queued", info["status"]])["deployments"] == [made]
    assert deploy.list_deployments(**group, includeOnlyStatuses=["Queued", "Baking"])["deployments"] == []
    assert refused(deploy.list_deployments, **group, includeOnlyStatuses=["Done"])[0] == "ValidationException"
    assert refused(deploy.list_deployments, **group, createTimeRange={"start": created, "end": created - second})[0] == "InvalidTimeRangeException"
    assert refused(deploy.list_deployments, deploymentGroupName="g")[0] == "ApplicationNameRequiredException"
    assert refused(deploy.list_deployments, applicationName="nobody")[0] == "ApplicationDoesNotExistException"
    assert refused(deploy.list_deployments, applicationName="listed", deploymentGroupName="h")[0] == "DeploymentGroupDoesNotExistException"
    many = deploy.batch_get_deployments(deploymentIds=[made, "d-AAAAAAAAA"])["deploymentsInfo"]
    assert [one["deploymentId"] for one in many] == [made]
    assert refused(deploy.batch_get_deployments, deploymentIds=["nonsense"])[0] == "InvalidDeploymentIdException"
    assert refused(deploy.batch_get_deployments, deploymentIds=[made] * 26)[0] == "BatchLimitExceededException"
    assert refused(deploy.batch_get_deployments, deploymentIds=[])[0] == "DeploymentIdRequiredException"
    assert deploy.list_deployment_targets(deploymentId=made)["targetIds"] == ["default:cd-wire"]
    assert refused(deploy.list_deployment_targets, deploymentId=made, targetFilters={"Colour": ["x"]})[0] == "InvalidTargetFilterNameException"
    assert refused(deploy.get_deployment_target, deploymentId=made, targetId="default:other")[0] == "DeploymentTargetDoesNotExistException"
    (target,) = deploy.batch_get_deployment_targets(deploymentId=made, targetIds=["default:cd-wire"])["deploymentTargets"]
    assert target["deploymentTargetType"] == "ECSTarget" and target["ecsTarget"]["targetArn"].endswith("service/default/cd-wire")
    assert refused(deploy.batch_get_deployment_targets, deploymentId=made, targetIds=["default:other"])[0] == "DeploymentTargetDoesNotExistException"
    assert refused(deploy.continue_deployment, deploymentId=made, deploymentWaitType="SOON")[0] == "ValidationException"
    assert refused(deploy.put_lifecycle_event_hook_execution_status, deploymentId=made, lifecycleEventHookExecutionId="x", status="Skipped")[
        0] == "InvalidLifecycleEventHookExecutionStatusException"
    assert refused(deploy.put_lifecycle_event_hook_execution_status, deploymentId=made, lifecycleEventHookExecutionId="x", status="Failed")[
        0] == "InvalidLifecycleEventHookExecutionIdException"
    groups = deploy.batch_get_deployment_groups(applicationName="listed", deploymentGroupNames=["g", "none"])
    assert [one["deploymentGroupName"] for one in groups["deploymentGroupsInfo"]] == ["g"]
    deploy.delete_application(applicationName="listed")
