"""CloudWatch Logs through boto3 and the aws-cli."""

import time

import botocore.exceptions
import pytest


@pytest.fixture
def logs(server):
    client = server.client("logs")
    yield client
    for page in client.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            client.delete_log_group(logGroupName=group["logGroupName"])


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]


def now():
    return int(time.time() * 1000)


def put(logs, stream, *lines, group="/app", at=None):
    start = at or now() - 1000
    return logs.put_log_events(logGroupName=group, logStreamName=stream,
                               logEvents=[{"timestamp": start + i, "message": line} for i, line in enumerate(lines)])


@pytest.fixture
def app(logs):
    logs.create_log_group(logGroupName="/app", tags={"env": "test"})
    for stream in ("web/1", "web/2", "worker/1"):
        logs.create_log_stream(logGroupName="/app", logStreamName=stream)
    return logs


def test_groups_and_streams_are_made_described_and_deleted(app):
    group = app.describe_log_groups(logGroupNamePrefix="/ap")["logGroups"][0]
    assert group["arn"] == "arn:aws:logs:ap-northeast-1:123456789012:log-group:/app:*"
    assert abs(group["creationTime"] - now()) < 60_000
    assert "retentionInDays" not in group
    assert refused(app.create_log_group, logGroupName="/app")["Code"] == "ResourceAlreadyExistsException"
    assert refused(app.create_log_stream, logGroupName="/app", logStreamName="web/1")["Code"] == "ResourceAlreadyExistsException"
    assert refused(app.create_log_stream, logGroupName="/no", logStreamName="x") == {
        "Code": "ResourceNotFoundException", "Message": "The specified log group does not exist."}
    names = [s["logStreamName"] for s in app.describe_log_streams(logGroupName="/app", logStreamNamePrefix="web/")["logStreams"]]
    assert names == ["web/1", "web/2"]
    app.delete_log_stream(logGroupName="/app", logStreamName="web/1")
    assert refused(app.get_log_events, logGroupName="/app", logStreamName="web/1")["Message"] == "The specified log stream does not exist."
    app.delete_log_group(logGroupName="/app")
    assert app.describe_log_groups()["logGroups"] == []


def test_a_stream_is_read_forward_and_backward(app):
    put(app, "web/1", *[f"line {i}" for i in range(10)])
    where = {"logGroupName": "/app", "logStreamName": "web/1"}
    newest = app.get_log_events(**where, limit=3)
    assert [e["message"] for e in newest["events"]] == ["line 7", "line 8", "line 9"]
    older = app.get_log_events(**where, limit=3, nextToken=newest["nextBackwardToken"])
    assert [e["message"] for e in older["events"]] == ["line 4", "line 5", "line 6"]
    again = app.get_log_events(**where, nextToken=older["nextForwardToken"])
    assert [e["message"] for e in again["events"]] == ["line 7", "line 8", "line 9"]
    end = app.get_log_events(**where, nextToken=again["nextForwardToken"])
    assert end["events"] == [] and end["nextForwardToken"] == again["nextForwardToken"]
    back = app.get_log_events(**where, limit=1, nextToken=end["nextBackwardToken"])
    assert [e["message"] for e in back["events"]] == ["line 9"]
    put(app, "web/1", "line 10", at=now())
    assert [e["message"] for e in app.get_log_events(**where, nextToken=end["nextForwardToken"])["events"]] == ["line 10"]
    first = app.get_log_events(**where, startFromHead=True, limit=2)
    assert [e["message"] for e in first["events"]] == ["line 0", "line 1"]
    assert refused(app.get_log_events, **where, nextToken="f/x/s")["Code"] == "InvalidParameterException"


def test_an_empty_stream_can_be_followed_from_its_beginning(app):
    where = {"logGroupName": "/app", "logStreamName": "web/1"}
    token = app.get_log_events(**where)["nextForwardToken"]
    put(app, "web/1", "hello")
    assert [e["message"] for e in app.get_log_events(**where, nextToken=token)["events"]] == ["hello"]


def test_times_bound_what_is_read(app):
    start = now() - 10_000
    put(app, "web/1", "a", "b", "c", at=start)
    where = {"logGroupName": "/app", "logStreamName": "web/1"}
    assert [e["message"] for e in app.get_log_events(**where, startTime=start + 1, endTime=start + 2)["events"]] == ["b"]
    filtered = app.filter_log_events(logGroupName="/app", startTime=start + 1, endTime=start + 2)
    assert [e["message"] for e in filtered["events"]] == ["b", "c"]


def test_filter_merges_streams_by_time_and_pages(app):
    start = now() - 60_000
    for i in range(60):
        put(app, ("web/1", "web/2", "worker/1")[i % 3], f"{'ERROR' if i % 10 == 0 else 'INFO'} {i}", at=start + i)
    pages = app.get_paginator("filter_log_events").paginate(logGroupName="/app", PaginationConfig={"PageSize": 7})
    events = [e for page in pages for e in page["events"]]
    assert [e["message"].split()[1] for e in events] == [str(i) for i in range(60)]
    assert len({e["eventId"] for e in events}) == 60
    errors = app.filter_log_events(logGroupName="/app", filterPattern="ERROR", logStreamNamePrefix="web/")["events"]
    assert {e["message"] for e in errors} == {"ERROR 0", "ERROR 10", "ERROR 30", "ERROR 40"}
    some = app.filter_log_events(logGroupName="/app", logStreamNames=["worker/1"], limit=2)
    assert [e["message"] for e in some["events"]] == ["INFO 2", "INFO 5"]


def test_filter_patterns(app):
    put(app, "web/1", '{"level":"error","status":503}', '{"level":"info","status":200}', "plain error")

    def found(pattern):
        return [e["message"] for e in app.filter_log_events(logGroupName="/app", filterPattern=pattern)["events"]]

    assert found("{ $.status >= 500 }") == ['{"level":"error","status":503}']
    assert found('"plain error"') == ["plain error"]
    assert refused(found, pattern="[a, b]")["Code"] == "InvalidParameterException"


def test_batches_are_checked_as_aws_does(app):
    where = {"logGroupName": "/app", "logStreamName": "web/1"}
    unordered = [{"timestamp": now(), "message": "b"}, {"timestamp": now() - 5, "message": "a"}]
    assert "chronological order" in refused(app.put_log_events, **where, logEvents=unordered)["Message"]
    day = 24 * 3600 * 1000
    answer = app.put_log_events(**where, logEvents=[{"timestamp": now() - 20 * day, "message": "old"}])
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    answer = app.put_log_events(**where, logEvents=[{"timestamp": now(), "message": "fine"}, {"timestamp": now() + day // 6, "message": "early"}])
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    assert [e["message"] for e in app.get_log_events(**where)["events"]] == ["fine"]
    big = [{"timestamp": now(), "message": "x" * 200_000}] * 6
    assert "Upload too large" in refused(app.put_log_events, **where, logEvents=big)["Message"]


def test_retention_hides_old_events_at_once(app):
    day = 24 * 3600 * 1000
    put(app, "web/1", "old", at=now() - 2 * day)
    put(app, "web/1", "new")
    app.put_retention_policy(logGroupName="/app", retentionInDays=1)
    assert app.describe_log_groups()["logGroups"][0]["retentionInDays"] == 1
    assert [e["message"] for e in app.filter_log_events(logGroupName="/app")["events"]] == ["new"]
    app.delete_retention_policy(logGroupName="/app")
    assert [e["message"] for e in app.filter_log_events(logGroupName="/app")["events"]] == ["old", "new"]
    assert "enum value set" in refused(app.put_retention_policy, logGroupName="/app", retentionInDays=2)["Message"]


def test_streams_are_ordered_by_their_last_event(app):
    for stream in ("web/2", "worker/1", "web/1"):
        put(app, stream, "x")
        time.sleep(0.01)
    order = {"logGroupName": "/app", "orderBy": "LastEventTime", "descending": True}
    assert [s["logStreamName"] for s in app.describe_log_streams(**order)["logStreams"]] == ["web/1", "worker/1", "web/2"]
    pages = app.get_paginator("describe_log_streams").paginate(**order, PaginationConfig={"PageSize": 1})
    assert [s["logStreamName"] for p in pages for s in p["logStreams"]] == ["web/1", "worker/1", "web/2"]
    stream = app.describe_log_streams(logGroupName="/app", limit=1)["logStreams"][0]
    assert stream["firstEventTimestamp"] == stream["lastEventTimestamp"] and stream["storedBytes"] > 0


def test_tags(app):
    arn = app.describe_log_groups()["logGroups"][0]["logGroupArn"]
    app.tag_resource(resourceArn=arn, tags={"team": "a b"})
    app.untag_resource(resourceArn=arn, tagKeys=["env"])
    assert app.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "a b"}


def test_aws_cli_writes_and_tails(server, app):
    server.aws("logs", "put-log-events", "--log-group-name", "/app", "--log-stream-name", "web/1",
               "--log-events", f"timestamp={now()},message=from the cli é")
    got = server.aws("logs", "get-log-events", "--log-group-name", "/app", "--log-stream-name", "web/1")
    assert got["events"][0]["message"] == "from the cli é"
    tail = server.aws("logs", "filter-log-events", "--log-group-name", "/app", "--filter-pattern", "cli")
    assert len(tail["events"]) == 1


def test_events_survive_kill_9(fresh_server):
    logs = fresh_server.client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    put(logs, "s", *[str(i) for i in range(100)], group="g")
    fresh_server.kill()
    fresh_server.start()
    events = fresh_server.client("logs").get_log_events(logGroupName="g", logStreamName="s", startFromHead=True)["events"]
    assert [e["message"] for e in events] == [str(i) for i in range(100)]


def test_a_task_definition_cannot_log_outside_its_group(server):
    for group in ("..", "a b", "x" * 300):
        container = {"name": "c", "image": "i", "memory": 64,
                     "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": group}}}
        error = refused(server.client("ecs").register_task_definition, family="f", containerDefinitions=[container])
        assert error["Code"] == "ClientException" and "is no name of one" in error["Message"]
