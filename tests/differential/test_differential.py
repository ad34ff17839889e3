"""Watari's images against what BuildKit made of the same Dockerfiles, and against Debian's buildah.

A part of the cases, so that it ends in a minute or two; WATARI_DIFFERENTIAL=all takes all of them (also: tests/differential/run)."""
import os
import pathlib
import sys

import pytest
from server import Server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cases  # noqa: E402
import compare  # noqa: E402
from builders import Buildah, Watari  # noqa: E402

EVERYTHING = os.environ.get("WATARI_DIFFERENTIAL") == "all"
ALL = cases.all_cases()
RECORDED = ALL if EVERYTHING else ALL[::8]
WITH_BUILDAH = [case for case in ALL if not case.newer][:: 1 if EVERYTHING else 48]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("building needs root")
    work = tmp_path_factory.mktemp("differential")
    with Server() as server:
        watari = Watari(server, work)
        yield watari, work, *compare.base_of(watari, work)


@pytest.fixture(scope="module")
def buildah(world):
    if Buildah.missing():
        pytest.skip(Buildah.missing())
    with compare.other_builder("buildah", world[2], world[1]) as builder:
        yield builder


def check(case, ours, theirs, builder):
    lines = compare.compare(ours, theirs, builder, case.name)
    assert not lines, "ours / theirs:\n" + case.dockerfile + "\n".join(lines)


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_the_image_is_the_one_that_buildkit_made(world, case):
    watari, work, _, base = world
    check(case, compare.outcome(watari, case, work, base), compare.recorded()[case.name], "buildkit")


@pytest.mark.parametrize("case", WITH_BUILDAH, ids=lambda case: case.name)
def test_the_image_is_the_one_that_buildah_makes(world, buildah, case):
    watari, work, _, base = world
    check(case, compare.outcome(watari, case, work, base), compare.outcome(buildah, case, work, base), "buildah")


def test_every_case_has_a_recorded_result():
    assert {case.name for case in ALL} == set(compare.recorded())
