"""Roles and temporary keys: IAM keeps roles, STS hands out keys of their sessions that really sign."""

import json

import botocore.exceptions
import pytest

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def code_of(error):
    return error.value.response["Error"]["Code"]


@pytest.fixture(scope="module")
def iam(server):
    return server.client("iam")


def make(iam, name, **more):
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), **more)["Role"]


def test_a_role_is_kept_as_it_was_given(iam):
    made = make(iam, "kept", Path="/team/", Description="of a test", Tags=[{"Key": "team", "Value": "a"}], MaxSessionDuration=7200)
    assert made["Arn"] == "arn:aws:iam::123456789012:role/team/kept"
    seen = iam.get_role(RoleName="kept")["Role"]
    assert (seen["AssumeRolePolicyDocument"], seen["MaxSessionDuration"], seen["Description"]) == (TRUST, 7200, "of a test")
    assert iam.list_role_tags(RoleName="kept")["Tags"] == [{"Key": "team", "Value": "a"}]
    assert [role["RoleName"] for role in iam.list_roles(PathPrefix="/team/")["Roles"]] == ["kept"]
    with pytest.raises(botocore.exceptions.ClientError) as error:
        make(iam, "kept")
    assert code_of(error) == "EntityAlreadyExists"


def test_policies_are_attached_shown_and_in_the_way_of_deletion(iam):
    make(iam, "with-policies")
    managed = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    iam.attach_role_policy(RoleName="with-policies", PolicyArn=managed)
    iam.put_role_policy(RoleName="with-policies", PolicyName="inline", PolicyDocument=json.dumps(TRUST))
    assert iam.list_attached_role_policies(RoleName="with-policies")["AttachedPolicies"] == [
        {"PolicyName": "AmazonECSTaskExecutionRolePolicy", "PolicyArn": managed}]
    assert iam.get_role_policy(RoleName="with-policies", PolicyName="inline")["PolicyDocument"] == TRUST
    with pytest.raises(botocore.exceptions.ClientError) as error:
        iam.delete_role(RoleName="with-policies")
    assert code_of(error) == "DeleteConflict"
    iam.detach_role_policy(RoleName="with-policies", PolicyArn=managed)
    iam.delete_role_policy(RoleName="with-policies", PolicyName="inline")
    iam.delete_role(RoleName="with-policies")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        iam.get_role(RoleName="with-policies")
    assert code_of(error) == "NoSuchEntity"


def test_a_policy_must_be_one(iam):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        iam.create_role(RoleName="broken", AssumeRolePolicyDocument="{]")
    assert code_of(error) == "MalformedPolicyDocument"



def test_keys_of_an_assumed_role_sign_and_outlive_the_daemon(server, iam):
    role = make(iam, "assumed")
    answer = server.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me")
    keys = answer["Credentials"]
    server.kill()
    server.restart()
    who = server.aws("sts", "get-caller-identity", AWS_ACCESS_KEY_ID=keys["AccessKeyId"], AWS_SECRET_ACCESS_KEY=keys["SecretAccessKey"],
                     AWS_SESSION_TOKEN=keys["SessionToken"])
    assert who["Arn"] == "arn:aws:sts::123456789012:assumed-role/assumed/me"
    assert who["UserId"] == role["RoleId"] + ":me" == answer["AssumedRoleUser"]["AssumedRoleId"]


@pytest.mark.parametrize("spoil, words", [
    (lambda keys: keys | {"SecretAccessKey": "x" * 40}, "signature we calculated does not match"),
    (lambda keys: keys | {"SessionToken": keys["SessionToken"][:-4] + "0000"}, "security token included in the request is invalid"),
    (lambda keys: keys | {"AccessKeyId": "ASIAGGGGGGGGGGGGGGGG"}, "security token included in the request is invalid"),
], ids=["secret", "token", "key"])
def test_spoiled_keys_of_a_session_are_refused(server, iam, spoil, words):
    if not any(role["RoleName"] == "spoiled" for role in iam.list_roles()["Roles"]):
        make(iam, "spoiled")
    keys = spoil(server.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/spoiled", RoleSessionName="me")["Credentials"])
    done = server.aws("ecs", "list-clusters", check=False, AWS_ACCESS_KEY_ID=keys["AccessKeyId"],
                      AWS_SECRET_ACCESS_KEY=keys["SecretAccessKey"], AWS_SESSION_TOKEN=keys["SessionToken"])
    assert done.returncode != 0 and words in done.stderr


def test_a_role_that_is_not_there_cannot_be_assumed(server):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/nobody", RoleSessionName="me")
    assert code_of(error) == "AccessDenied"


def test_the_bounds_of_a_service_act(server):
    ecs, scaling = server.client("ecs"), server.client("application-autoscaling")
    ecs.register_task_definition(family="bounded", containerDefinitions=[{"name": "app", "image": "nowhere:1", "memory": 16}])
    subnets = [subnet["SubnetId"] for subnet in server.client("ec2").describe_subnets()["Subnets"]]
    ecs.create_service(serviceName="bounded", taskDefinition="bounded", desiredCount=0, networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}})
    what = {"ServiceNamespace": "ecs", "ResourceId": "service/default/bounded", "ScalableDimension": "ecs:service:DesiredCount"}

    def desired():
        return ecs.describe_services(services=["bounded"])["services"][0]["desiredCount"]

    def becomes(count):
        for _ in range(300):
            if desired() == count:
                return True
        return False

    scaling.register_scalable_target(**what, MinCapacity=2, MaxCapacity=4)
    assert becomes(2), "the minimum was not kept"
    ecs.update_service(service="bounded", desiredCount=1)
    assert becomes(2), "the minimum was not kept against UpdateService"
    assert scaling.describe_scaling_activities(**what)["ScalingActivities"][0]["Cause"] == "minimum capacity was set to 2"
    scaling.register_scalable_target(**what, SuspendedState={"DynamicScalingOutSuspended": True})
    ecs.update_service(service="bounded", desiredCount=0)
    target = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4) and target["SuspendedState"]["DynamicScalingOutSuspended"]
    assert desired() == 0
    assert scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"] == []
    scaling.deregister_scalable_target(**what)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        scaling.deregister_scalable_target(**what)
    assert code_of(error) == "ObjectNotFoundException"
    ecs.delete_service(service="bounded", force=True)
