"""Parameter Store through boto3 and the aws-cli."""

import botocore.exceptions
import pytest


@pytest.fixture
def ssm(server):
    client = server.client("ssm")
    yield client
    names = [p["Name"] for page in client.get_paginator("describe_parameters").paginate() for p in page["Parameters"]]
    for start in range(0, len(names), 10):
        client.delete_parameters(Names=names[start:start + 10])


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]


def test_a_parameter_is_put_read_overwritten_and_deleted(ssm):
    assert ssm.put_parameter(Name="/app/url", Value="http://a", Type="String", Description="where")["Version"] == 1
    assert refused(ssm.put_parameter, Name="/app/url", Value="x", Type="String")["Code"] == "ParameterAlreadyExists"
    assert ssm.put_parameter(Name="/app/url", Value="http://b", Overwrite=True)["Version"] == 2
    parameter = ssm.get_parameter(Name="/app/url")["Parameter"]
    assert (parameter["Value"], parameter["Version"], parameter["Type"], parameter["DataType"]) == ("http://b", 2, "String", "text")
    assert parameter["ARN"] == "arn:aws:ssm:ap-northeast-1:123456789012:parameter/app/url"
    assert parameter["LastModifiedDate"].year >= 2024
    assert ssm.get_parameter(Name="/app/url:1")["Parameter"]["Selector"] == ":1"
    assert ssm.get_parameter(Name=parameter["ARN"])["Parameter"]["Value"] == "http://b"
    history = ssm.get_parameter_history(Name="/app/url")["Parameters"]
    assert [(h["Version"], h["Value"], h["Description"]) for h in history] == [(1, "http://a", "where"), (2, "http://b", "where")]
    ssm.delete_parameter(Name="/app/url")
    assert refused(ssm.get_parameter, Name="/app/url")["Code"] == "ParameterNotFound"
    assert refused(ssm.delete_parameter, Name="/app/url")["Code"] == "ParameterNotFound"


def test_a_secure_string_shows_its_value_only_when_asked(ssm):
    ssm.put_parameter(Name="/app/password", Value="hunter2", Type="SecureString")
    assert "hunter2" not in str(ssm.get_parameter(Name="/app/password"))
    assert ssm.get_parameter(Name="/app/password", WithDecryption=True)["Parameter"]["Value"] == "hunter2"
    assert ssm.describe_parameters()["Parameters"][0]["KeyId"] == "alias/aws/ssm"


def test_the_disk_never_holds_a_plaintext(server, ssm):
    ssm.put_parameter(Name="/app/password", Value="correct-horse-battery", Type="SecureString")
    ssm.put_parameter(Name="/app/plain", Value="plain-horse-battery", Type="String")
    files = [f for f in server.root.rglob("*") if f.is_file()]
    assert any(f.name.startswith("watari.db") for f in files)
    for file in files:
        assert b"horse-battery" not in file.read_bytes(), file
    assert "horse-battery" not in server.log_text()


def test_many_at_once(ssm):
    for name in ("a", "b"):
        ssm.put_parameter(Name=name, Value=name.upper(), Type="String")
    answer = ssm.get_parameters(Names=["b", "missing", "a"])
    assert [p["Value"] for p in answer["Parameters"]] == ["B", "A"]
    assert answer["InvalidParameters"] == ["missing"]
    answer = ssm.delete_parameters(Names=["a", "missing"])
    assert (answer["DeletedParameters"], answer["InvalidParameters"]) == (["a"], ["missing"])


def test_hierarchies_are_paged(ssm):
    for number in range(25):
        ssm.put_parameter(Name=f"/h/{number:02}", Value=str(number), Type="String")
    ssm.put_parameter(Name="/h/deep/er", Value="x", Type="SecureString")
    ssm.put_parameter(Name="/hh", Value="x", Type="String")
    paginator = ssm.get_paginator("get_parameters_by_path")
    names = [p["Name"] for page in paginator.paginate(Path="/h") for p in page["Parameters"]]
    assert names == [f"/h/{n:02}" for n in range(25)]
    deep = [p["Name"] for page in paginator.paginate(Path="/h/", Recursive=True) for p in page["Parameters"]]
    assert len(deep) == 26 and "/h/deep/er" in deep
    secure = ssm.get_parameters_by_path(Path="/", Recursive=True, ParameterFilters=[{"Key": "Type", "Values": ["SecureString"]}])
    assert [p["Name"] for p in secure["Parameters"]] == ["/h/deep/er"]
    assert refused(ssm.get_parameters_by_path, Path="/h", NextToken="bm90IG91cnM=")["Code"] == "InvalidNextToken"


def test_describe_filters(ssm):
    ssm.put_parameter(Name="/x/a", Value="1", Type="String", Tags=[{"Key": "env", "Value": "prod"}])
    ssm.put_parameter(Name="/x/b", Value="1", Type="SecureString")
    ssm.put_parameter(Name="/y/a", Value="1", Type="String")

    def names(*filters):
        keys = ("Key", "Option", "Values")
        return [p["Name"] for p in ssm.describe_parameters(ParameterFilters=[dict(zip(keys, f)) for f in filters])["Parameters"]]

    assert names(("Name", "BeginsWith", ["/x"])) == ["/x/a", "/x/b"]
    assert names(("Name", "Equals", ["/y/a"])) == ["/y/a"]
    assert names(("Path", "OneLevel", ["/x"]), ("Type", "Equals", ["SecureString"])) == ["/x/b"]
    assert names(("tag:env", "Equals", ["prod"])) == ["/x/a"]
    assert refused(ssm.describe_parameters, ParameterFilters=[{"Key": "Label", "Values": ["x"]}])["Code"] == "InvalidFilterKey"


def test_tags(ssm):
    ssm.put_parameter(Name="t", Value="1", Type="String")
    target = {"ResourceType": "Parameter", "ResourceId": "t"}
    ssm.add_tags_to_resource(**target, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ssm.remove_tags_from_resource(**target, TagKeys=["a"])
    assert ssm.list_tags_for_resource(**target)["TagList"] == [{"Key": "b", "Value": "2"}]
    assert refused(ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId="no")["Code"] == "InvalidResourceId"


def test_what_is_not_acted_upon_is_refused_by_name(ssm):
    error = refused(ssm.put_parameter, Name="p", Value="v", Type="String", Policies="[]")
    assert error == {"Code": "ValidationException", "Message": "Policies is not supported by Watari; remove it"}
    error = refused(ssm.put_parameter, Name="p", Value="v", Type="SecureString", KeyId="alias/mine")
    assert "use alias/aws/ssm" in error["Message"]
    assert refused(ssm.label_parameter_version, Name="p", Labels=["x"])["Code"] == "UnknownOperationException"


def test_awss_validation_texts(ssm):
    error = refused(ssm.put_parameter, Name="p", Value="v", Type="Text")
    assert error["Code"] == "ValidationException"
    assert error["Message"] == ("1 validation error detected: Value 'Text' at 'type' failed to satisfy constraint: Member must satisfy "
                                "enum value set: [String, StringList, SecureString]")


def test_regions_are_apart(server, ssm):
    ssm.put_parameter(Name="here", Value="1", Type="String")
    assert refused(server.client("ssm", region="eu-west-1").get_parameter, Name="here")["Code"] == "ParameterNotFound"


def test_aws_cli_puts_and_gets(server, ssm):
    assert server.aws("ssm", "put-parameter", "--name", "/cli/x", "--value", "é & <x>", "--type", "SecureString")["Version"] == 1
    got = server.aws("ssm", "get-parameter", "--name", "/cli/x", "--with-decryption")
    assert got["Parameter"]["Value"] == "é & <x>"
    missing = server.aws("ssm", "get-parameter", "--name", "/cli/y", check=False)
    assert missing.returncode != 0 and "ParameterNotFound" in missing.stderr


def test_parameters_survive_kill_9(fresh_server):
    for number in range(20):
        fresh_server.client("ssm").put_parameter(Name="p", Value=str(number), Type="SecureString", Overwrite=True)
    fresh_server.kill()
    fresh_server.start()
    got = fresh_server.client("ssm").get_parameter(Name="p", WithDecryption=True)["Parameter"]
    assert (got["Value"], got["Version"]) == ("19", 20)
