"""The wire itself, with the smallest service: signatures, protocols, errors."""

import datetime
import stat

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest
import requests

ROOT = "arn:aws:iam::123456789012:root"


def code_of(error):
    return error.value.response["Error"]["Code"]


def test_boto3_learns_who_it_is(server):
    answer = server.client("sts").get_caller_identity()
    assert (answer["Account"], answer["Arn"]) == ("123456789012", ROOT)
    assert answer["ResponseMetadata"]["RequestId"]


def test_aws_cli_learns_who_it_is(server):
    assert server.aws("sts", "get-caller-identity")["Arn"] == ROOT


def test_every_region_is_accepted(server):
    for region in ("us-east-1", "eu-central-2", "cn-north-1"):
        assert server.client("sts", region=region).get_caller_identity()["Account"] == "123456789012"


def test_credentials_are_private(server):
    assert stat.S_IMODE((server.root / "credentials").stat().st_mode) == 0o600


def test_a_wrong_secret_is_refused(server):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("sts", keys=(server.keys[0], "wrong")).get_caller_identity()
    assert code_of(error) == "SignatureDoesNotMatch"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_an_unknown_key_is_refused(server):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("sts", keys=("AKIAUNKNOWN", "x")).get_caller_identity()
    assert code_of(error) == "InvalidClientTokenId"


def test_an_operation_that_does_not_exist_here_gets_awss_error(server):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("sts").get_session_token()
    assert code_of(error) == "InvalidAction"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("dynamodb").list_tables()
    assert code_of(error) == "UnknownOperationException"


def test_an_unsigned_request_is_refused_in_the_protocols_form(server):
    answer = server.post(b"Action=GetCallerIdentity&Version=2011-06-15", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 403
    assert "<Code>MissingAuthenticationToken</Code>" in answer.text
    answer = server.post(b"{}", x_amz_target="AmazonSSM.GetParameter", content_type="application/x-amz-json-1.1")
    assert answer.status_code == 400
    assert answer.json()["__type"] == "MissingAuthenticationTokenException"
    assert answer.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


def test_presigned_requests_work(server):
    def presigned(expires):
        request = botocore.awsrequest.AWSRequest("GET", f"{server.url}/?Action=GetCallerIdentity&Version=2011-06-15")
        credentials = botocore.credentials.Credentials(*server.keys)
        signer = botocore.auth.SigV4QueryAuth(credentials, "sts", "us-east-1", expires=expires)
        signer.add_auth(request)
        return requests.get(request.url, timeout=30)

    assert ROOT in presigned(60).text
    assert presigned(60).status_code == 200
    assert "SignatureDoesNotMatch" in requests.get(presigned(60).url + "0", timeout=30).text


def test_an_old_signature_is_refused(server, monkeypatch):
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=6)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *a, **k: old.replace(tzinfo=None), raising=True)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("sts").get_caller_identity()
    assert code_of(error) == "SignatureDoesNotMatch"
    assert "Signature expired" in str(error.value)


def test_garbage_is_answered_not_crashed_on(server):
    for body in (b"", b"\xff" * 1000, b"Action=" + b"a." * 5000, b"&&&===", b"{" * 10000):
        for kind in ("application/x-www-form-urlencoded", "application/x-amz-json-1.1", ""):
            assert server.post(body, content_type=kind).status_code in (400, 403)
    assert server.client("sts").get_caller_identity()["Arn"] == ROOT


def test_the_key_survives_a_restart_and_a_kill(fresh_server):
    keys = fresh_server.keys
    fresh_server.kill()
    fresh_server.start()
    assert fresh_server.keys == keys
    assert fresh_server.restart().client("sts").get_caller_identity()["Arn"] == ROOT
