"""Builds the cases with Watari and with another builder, and says what differs."""
import contextlib
import fnmatch
import json
import pathlib
import re
import shutil

import accepted
import tree
from builders import BuildKit, Buildah, Failed

HERE = pathlib.Path(__file__).resolve().parent
RECORDED = HERE / "expected.json"  # what BuildKit made of every case: see README.md
OTHERS = {"buildah": Buildah, "buildkit": BuildKit}


def outcome(builder, case, work, base):
    """What a builder makes of a case: [files that are not the base's, configuration], or "refused"."""
    context, layout = work / "context", work / "layout"
    for path in (context, layout):
        shutil.rmtree(path, ignore_errors=True)
    case.write(context)
    own = case.secrets
    case.secrets = {name: source.replace("CONTEXT", str(context)) for name, source in own.items()}
    try:
        builder.build(case, context, layout)
        files, config = tree.read(layout)
    except Failed as problem:
        outcome.reason = str(problem)
        return "refused"
    finally:
        case.secrets = own
    gone = {path: {"kind": "gone"} for path in base if path not in files}
    return [{path: entry for path, entry in files.items() if base.get(path) != entry} | gone, config]


def remaining(lines, builder, case):
    """Differences that no rule accepts."""
    rules = [rule for rule in accepted.RULES if rule.builder in (builder, "*") and fnmatch.fnmatch(case, rule.case)]
    return [line for line in lines if not any(re.search(rule.line, line) for rule in rules)]


def compare(ours, theirs, builder, case):
    if "refused" in (ours, theirs):
        lines = [] if ours == theirs else [f"ours {'refuses' if ours == 'refused' else 'builds'}, theirs {'refuses' if theirs == 'refused' else 'builds'}"]
    else:
        lines = tree.differences(ours, theirs)
    return remaining(lines, builder, case)


def base_of(watari, work):
    layout = work / "base"
    watari.copy_base(layout)
    return layout, tree.read(layout)[0]


@contextlib.contextmanager
def other_builder(name, base, work):
    (work / name).mkdir()
    builder = OTHERS[name](base, work / name)
    try:
        yield builder
    finally:
        builder.close()


def recorded():
    return json.loads(RECORDED.read_text())
