"""What containers print, read through CloudWatch Logs: every line, also those of the time when the daemon was dead."""

import time

from servers import busybox_server as server  # noqa: F401


def run(server, family, command):
    """Starts a task that logs to the group /test/<family>; gives its ARN."""
    ecs = server.client("ecs")
    log = {"logDriver": "awslogs", "options": {"awslogs-group": f"/test/{family}", "awslogs-stream-prefix": "t"}}
    container = {"name": "app", "image": "busybox:1", "memory": 64, "command": ["sh", "-c", command], "logConfiguration": log}
    definition = ecs.register_task_definition(family=family, containerDefinitions=[container])["taskDefinition"]["taskDefinitionArn"]
    subnets = [subnet["SubnetId"] for subnet in server.client("ec2").describe_subnets()["Subnets"]]
    return ecs.run_task(taskDefinition=definition, networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}})["tasks"][0]["taskArn"]


def wait_stopped(server, task):
    server.client("ecs").get_waiter("tasks_stopped").wait(tasks=[task], WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def lines(server, family):
    pages = server.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/test/{family}")
    return [event["message"] for page in pages for event in page["events"]]


def test_every_line_is_kept_in_order(server):
    task = run(server, "counts", "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done; echo oops >&2; printf 'no newline'")
    wait_stopped(server, task)
    got = lines(server, "counts")
    assert [line for line in got if line.startswith("line")] == [f"line {i}" for i in range(30000)]
    assert sorted(got[30000:]) == ["no newline", "oops"]
    stream = server.client("logs").describe_log_streams(logGroupName="/test/counts")["logStreams"][0]["logStreamName"]
    assert stream == "t/app/" + task.rsplit("/", 1)[1]
    assert server.client("logs").filter_log_events(logGroupName="/test/counts", filterPattern="oops")["events"][0]["message"] == "oops"


def test_lines_that_were_written_while_the_daemon_was_dead_are_there(server):
    task = run(server, "survives", "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i+1)); sleep 0.05; done")
    server.client("ecs").get_waiter("tasks_running").wait(tasks=[task], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    server.kill()
    time.sleep(1.5)
    server.start()
    wait_stopped(server, task)
    assert lines(server, "survives") == [str(i) for i in range(60)]


def test_awslogs_region_is_where_the_lines_go(server):
    ecs = server.client("ecs")
    options = {"awslogs-group": "/test/elsewhere", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "t"}
    container = {"name": "app", "image": "busybox:1", "command": ["echo", "far away"],
                 "logConfiguration": {"logDriver": "awslogs", "options": options}}
    definition = ecs.register_task_definition(family="elsewhere", containerDefinitions=[container])["taskDefinition"]["taskDefinitionArn"]
    subnets = [subnet["SubnetId"] for subnet in server.client("ec2").describe_subnets()["Subnets"]]
    task = ecs.run_task(taskDefinition=definition, networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}})["tasks"][0]["taskArn"]
    wait_stopped(server, task)
    found = server.client("logs", region="eu-west-1").filter_log_events(logGroupName="/test/elsewhere")["events"]
    assert [event["message"] for event in found] == ["far away"]
