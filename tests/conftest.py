"""Fixtures for tests that talk to a real server through real clients."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[0] / "support"))

from server import Server  # noqa: E402


@pytest.fixture(scope="module")
def server():
    """One server for a module's tests; they must not depend on each other's leftovers."""
    with Server() as running:
        yield running


@pytest.fixture
def fresh_server():
    """A server on an empty root, for one test."""
    with Server() as running:
        yield running


@pytest.fixture(scope="module")
def ecs(server):
    return server.client("ecs")


@pytest.fixture(scope="module")
def network(server):
    """Where tasks and services run: every subnet of the default VPC."""
    subnets = server.client("ec2").describe_subnets()["Subnets"]
    return {"awsvpcConfiguration": {"subnets": [subnet["SubnetId"] for subnet in subnets]}}
