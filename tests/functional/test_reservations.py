"""The example as its users run it: examples/reservations on images that Watari builds from a base image that Watari makes."""

import concurrent.futures
import shutil
import time

import pytest
import requests
from load import Load
from server import REPO, Server, free_port

SLOT = {"restaurant": 1, "table": 4, "starts_at": "2026-12-24T19:00:00Z", "party": 2, "name": "Sato"}


class Reservations:
    def __init__(self, server, directory):
        self.server, self.directory = server, directory
        self.ports = {"staging": free_port(), "production": free_port()}
        shutil.copytree(REPO / "examples/reservations", directory)
        file = directory / "watari.yml"
        text = file.read_text()
        for environment, old in (("staging", 8080), ("production", 8081)):
            text = text.replace(f"api: {{port: {old}", f"api: {{port: {self.ports[environment]}")
        file.write_text(text)
        for environment in self.ports:
            self.secret(f"/reservations/{environment}/database_password", f"pw-{environment}")
            self.secret(f"/reservations/{environment}/database_url",
                        f"postgres://reservations:pw-{environment}@db:5432/reservations")

    def secret(self, name, value):
        self.server.watari("param", "set", name, value, "--secure", "--root", self.server.root)

    def up(self, environment="staging"):
        return self.server.watari("up", self.directory, "--env", environment, "--root", self.server.root)

    def url(self, path, environment="staging"):
        return f"http://127.0.0.1:{self.ports[environment]}{path}"

    def reserve(self, environment="staging", **changes):
        return requests.post(self.url("/reservations", environment), json=SLOT | changes, timeout=30)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    with Server() as server:
        server.watari("base", "build", "debian", timeout=900)
        example = Reservations(server, tmp_path_factory.mktemp("example") / "reservations")
        example.up()
        yield example


def wait_until(check, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.2)
    return False


def test_it_is_healthy_and_knows_its_environment(app):
    assert requests.get(app.url("/healthz"), timeout=10).json() == {"ok": True, "problems": {}}
    assert requests.get(app.url("/version"), timeout=10).json()["environment"] == "staging"


def test_a_table_is_never_booked_twice_under_concurrent_requests(app):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        codes = sorted(pool.map(lambda _: app.reserve(table=77).status_code, range(40)))
    assert codes == [201] + [409] * 39


def test_every_accepted_reservation_is_confirmed(app):
    ids = [app.reserve(table=100 + number).json()["id"] for number in range(10)]
    confirmed = lambda: all(requests.get(app.url(f"/reservations/{i}"), timeout=10).json()["confirmed"] for i in ids)
    assert wait_until(confirmed)


def test_bad_input_is_told_what_is_wrong(app):
    assert app.reserve(party=99).status_code == 422
    assert "starts_at" in app.reserve(starts_at="tonight").json()["error"]


def test_a_second_version_comes_under_load_without_a_failed_request(app):
    (app.directory / "app/VERSION").write_text("2\n")
    load = Load(app.url("/version"), 50).start()
    try:
        app.up()
    finally:
        result = load.stop()
    assert result["failed"] == 0, result
    assert requests.get(app.url("/version"), timeout=10).json()["version"] == "2"


def test_reservations_outlive_a_release_and_logs_tell_of_the_migration(app):
    number = app.reserve(table=500).json()["id"]
    (app.directory / "app/VERSION").write_text("3\n")
    app.up()
    assert requests.get(app.url(f"/reservations/{number}"), timeout=10).json()["table"] == 500
    said = app.server.watari("logs", "worker", "--root", app.server.root).stdout
    assert "confirmation sent" in said, said[-2000:]


def test_production_runs_the_same_images_with_other_settings(app):
    app.up("production")
    assert requests.get(app.url("/version", "production"), timeout=10).json() == {"version": "3", "environment": "production"}
    assert app.reserve("production", party=10).status_code == 422  # staging allows 12
    # Every process of both environments reaches its own database, though both call it `db` and share a network.
    for environment, party in (("staging", 10), ("production", 2)):
        answers = [app.reserve(environment, party=party, table=900 + number) for number in range(20)]
        assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    ecs = app.server.client("ecs")
    images = []
    for environment in ("staging", "production"):
        cluster = f"reservations-{environment}"
        service = ecs.describe_services(cluster=cluster, services=[f"{cluster}-api"])["services"][0]
        definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        images.append(sorted(container["image"] for container in definition["containerDefinitions"]))
    assert images[0] == images[1]


def test_secrets_reach_only_the_containers_that_name_them(app):
    ecs = app.server.client("ecs")
    definition = ecs.describe_task_definition(taskDefinition="reservations-staging-api")["taskDefinition"]
    named = {c["name"]: [s["name"] for s in c.get("secrets", [])] for c in definition["containerDefinitions"]}
    assert named["app"] == ["DATABASE_URL"] and not named["nginx"]
    assert "pw-staging" not in str(definition)
    assert b"pw-staging" not in b"".join(path.read_bytes() for path in app.server.root.glob("watari.db*"))
