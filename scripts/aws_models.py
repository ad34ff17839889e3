"""botocore's service models and our operations.txt files, read for the generators."""

import gzip
import json
import pathlib
import re
import sys


class Wrong(Exception):
    """A mistake in an operations.txt; the message names file and line."""


class Model:
    """One service of botocore (or our own, in botocore's format)."""

    def __init__(self, document):
        self.meta = document["metadata"]
        self.shapes = document["shapes"]
        self.operations = document["operations"]
        for shape in self.shapes.values():
            if shape.get("document"):  # any JSON
                shape["type"] = "document"

    @property
    def protocols(self):
        """All that we can speak it in."""
        named = self.meta.get("protocols", [self.meta["protocol"]])
        known = [ours for ours, theirs in (("json", "json"), ("query", "query"), ("ec2", "ec2"), ("cbor", "smithy-rpc-v2-cbor")) if theirs in named]
        if not known:
            raise Wrong(f"{self.meta['serviceId']}: protocols {named} are not supported")
        return known

    def input_of(self, operation):
        return self._io(operation, "input")

    def output_of(self, operation):
        return self._io(operation, "output")

    def _io(self, operation, which):
        reference = self.operations[operation].get(which)
        return self.shapes[reference["shape"]] if reference else {"type": "structure", "members": {}}


def load_model(source_dir, service):
    own = source_dir / "src/aws" / service / "service.json"
    if own.exists():
        return Model(json.loads(own.read_text()))
    for data in sorted((source_dir / ".tools/python/lib").glob("python3*/site-packages/botocore/data")):
        versions = sorted(p for p in (data / service).glob("*") if p.is_dir())
        if versions:
            for name in ("service-2.json.gz", "service-2.json"):
                path = versions[-1] / name
                if path.exists():
                    opener = gzip.open if name.endswith(".gz") else open
                    with opener(path, "rt", encoding="utf-8") as file:
                        return Model(json.load(file))
    raise Wrong(f"src/aws/{service}: botocore has no such service (or scripts/setup did not run)")


class Accepted:
    """A tree of request members; lists and maps add no level."""

    def __init__(self):
        self.children = {}
        self.all = False
        self.values = []


class Operation:
    def __init__(self, name, pool):
        self.name = name
        self.pool = pool
        self.accepted = Accepted()


class Listing:
    """A parsed operations.txt."""

    def __init__(self, path, model):
        self.validation = "ValidationException"
        self.at_least = {}
        self.operations = {}
        self.path = path
        self.model = model
        current = None
        for number, raw in enumerate(path.read_text().splitlines(), 1):
            line = raw.split("#")[0].rstrip()
            if not line:
                continue
            try:
                if line[0].isspace():
                    if current is None:
                        raise Wrong("a member before any operation")
                    for word in line.split():
                        self._accept(current, word)
                elif line.startswith("validation "):
                    self.validation = line.split()[1]
                elif line.startswith("at-least "):
                    self._lower(*line.split()[1:])
                else:
                    name, *marks = line.split()
                    if name not in model.operations:
                        raise Wrong(f"the service has no operation {name}")
                    if set(marks) - {"pool"}:
                        raise Wrong(f"unknown mark in '{line}'; known: pool")
                    current = self.operations[name] = Operation(name, "pool" in marks)
            except Wrong as wrong:
                raise Wrong(f"{path}:{number}: {wrong}") from None

    def _lower(self, shape, bound):
        """Takes smaller numbers than AWS does: `at-least Shape 1`."""
        if int(bound) >= self.model.shapes.get(shape, {}).get("min", 0):
            raise Wrong(f"{shape} is no number of this model with a minimum above {bound}")
        self.at_least[shape] = self.model.shapes[shape]["min"] = int(bound)

    def _accept(self, operation, word):
        path, _, values = word.partition("=")
        node = operation.accepted
        shape = self.model.input_of(operation.name)
        names = path.replace("[]", "").split(".")
        for index, name in enumerate(names):
            if name == "*":
                if index != len(names) - 1:
                    raise Wrong(f"{word}: * must be last")
                node.all = True
                return
            members = shape.get("members", {}) if shape["type"] == "structure" else {}
            if name not in members:
                near = ", ".join(sorted(members)) or "none"
                raise Wrong(f"{operation.name} has no member {'.'.join(names[:index + 1])}; known here: {near}")
            node = node.children.setdefault(name, Accepted())
            shape = self._inner(self.model.shapes[members[name]["shape"]])
        if shape["type"] == "structure" and shape.get("members"):
            raise Wrong(f"{word} is a structure: name its members, or write {word}.*")
        if values:
            node.values = values.split("|")

    def _inner(self, shape):
        while shape["type"] in ("list", "map"):
            shape = self.model.shapes[(shape.get("member") or shape.get("value"))["shape"]]
        return shape


def load_all(source_dir):
    """{service: (Model, Listing)} of every src/aws/*/operations.txt."""
    found = {}
    for path in sorted(pathlib.Path(source_dir).glob("src/aws/*/operations.txt")):
        service = path.parent.name
        model = load_model(pathlib.Path(source_dir), service)
        found[service] = (model, Listing(path, model))
    return found


def snake_case(name):
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def run(main):
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {wrong}")
