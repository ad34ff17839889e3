#!/usr/bin/env python3
"""Generates C++ from botocore's models: gen_shapes.py SOURCE_DIR OUT_DIR (run by cmake/shapes.cmake).

For each src/aws/<service>/operations.txt, below OUT_DIR/aws/gen/<service>/:
  <operation>.h     request and response structs and the handler's declaration
  shape/<Shape>.h   one struct, in the model's spelling
  tables.cc         descriptors of the shapes (aws/shape.h) and the dispatch table (aws/service.h)
and OUT_DIR/aws/gen/services.cc. Only shapes that listed operations reach are generated; a request has only the top-level
members that are acted upon. Files are written when their content changes, so that nothing rebuilds needlessly.
"""

import json
import pathlib
import re
import sys

from aws_models import Wrong, load_all, run, snake_case

SCALARS = {"string": ("std::string", "String"), "blob": ("std::string", "Blob"), "boolean": ("bool", "Boolean"),
           "integer": ("int", "Integer"), "long": ("std::int64_t", "Long"), "double": ("double", "Double"),
           "float": ("double", "Double"), "timestamp": ("Time", "Timestamp"), "document": ("std::string", "Document")}
KEYWORDS = {"default", "namespace", "operator", "template", "class", "public", "private", "protected", "export", "delete", "new",
            "enum", "union", "switch", "case", "for", "if", "do", "register", "static", "this", "virtual", "using", "import"}


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def member_name(name):
    name = re.sub(r"\W", "_", name)
    return name + "_" if name in KEYWORDS else name


# Structures whose lists and maps AWS leaves out of its answers when they are empty, but for the named ones. Terraform compares a task definition
# with what was registered, and would replace it for each empty list more.
ABSENT_WHEN_EMPTY = {"ecs": {"ContainerDefinition": {"environment", "mountPoints", "portMappings", "systemControls", "volumesFrom"}, "LogConfiguration": set()}}


class Generator:
    def __init__(self, service, model, listing):
        self.service = service
        self.namespace = service.replace("-", "_")
        self.model = model
        self.listing = listing
        self.structs = {}  # C++ name -> [(member name, reference, required)]; operations' own and shared
        self.tops = set()
        self.files = {}

    # --- types ---

    def cpp(self, shape_name, stack=()):
        shape = self.model.shapes[shape_name]
        kind = shape["type"]
        if kind in SCALARS:
            return SCALARS[kind][0]
        if kind == "list":
            element = self.cpp(shape["member"]["shape"], stack)
            if element == "bool":
                raise Wrong(f"{shape_name}: lists of booleans are not supported")
            return f"std::vector<{element}>"
        if kind == "map":
            return f"std::map<std::string, {self.cpp(shape['value']['shape'], stack)}>"
        if kind == "structure":
            return f"{self.namespace}::{shape_name}"
        raise Wrong(f"{self.service}: shape {shape_name} has the unknown type {kind}")

    def held(self, reference, required):
        """How a struct holds a member: plain when required, list or map; std::optional otherwise."""
        cpp = self.cpp(reference["shape"])
        plain = required or self.model.shapes[reference["shape"]]["type"] in ("list", "map")
        return (cpp, False) if plain else (f"std::optional<{cpp}>", True)

    def struct_in(self, shape_name):
        """The structure inside a (nested) list or map, or None."""
        shape = self.model.shapes[shape_name]
        while shape["type"] in ("list", "map"):
            shape_name = (shape.get("member") or shape.get("value"))["shape"]
            shape = self.model.shapes[shape_name]
        return shape_name if shape["type"] == "structure" else None

    def collect(self, name, shape, only, stack):
        required = set(shape.get("required", ()))
        members = [(m, ref, m in required) for m, ref in shape["members"].items() if only is None or m in only]
        self.structs[name] = members
        for _, ref, _ in members:
            inner = self.struct_in(ref["shape"])
            if inner is None:
                continue
            if inner in stack:
                raise Wrong(f"{self.service}: shape {inner} contains itself; recursion is not supported")
            if inner not in self.structs:
                self.collect(inner, self.model.shapes[inner], None, stack + (inner,))

    # --- headers ---

    def body(self, name):
        lines = [f"struct {name} {{"]
        for member, ref, required in self.structs[name]:
            held, optional = self.held(ref, required)
            lines.append(f"  {held} {member_name(member)}{'' if optional else '{}'};")
        return lines + ["};"]

    def includes(self, *names):
        inner = {self.struct_in(ref["shape"]) for name in names for _, ref, _ in self.structs[name]} - {None}
        return [f'#include "aws/gen/{self.service}/shape/{shape}.h"' for shape in sorted(inner)]

    def header(self, path, names, tail=(), includes=()):
        text = ["#pragma once", "// Generated by scripts/gen_shapes.py.", "#include <cstdint>", "#include <map>", "#include <optional>",
                "#include <string>", "#include <vector>", "", *self.includes(*names), *includes, '#include "base/clock.h"', "",
                f"namespace watari::aws::{self.namespace} {{", ""]
        for name in names:
            text += self.body(name) + [""]
        self.files[path] = text + [*tail, f"}}  // namespace watari::aws::{self.namespace}"]

    # --- tables ---

    def table_of(self, shape_name, seen, out):
        """Appends descriptors depth first; returns the C++ name of the shape's descriptor."""
        symbol = f"s_{shape_name}"
        if shape_name in seen:
            return symbol
        seen.add(shape_name)
        shape = self.model.shapes[shape_name]
        kind = shape["type"]
        if kind == "structure":
            self.struct_table(shape_name, symbol, seen, out)
            return symbol
        fields = []
        if kind in ("list", "map"):
            reference = shape.get("member") or shape["value"]
            element = self.table_of(reference["shape"], seen, out)
            access = f"kList<{self.cpp(reference['shape'])}>" if kind == "list" else f"kMap<{self.cpp(reference['shape'])}>"
            fields.append(f".element = &{element}, .{kind} = &{access}")
            if kind == "list":
                flat = shape.get("flattened", False)
                name = reference.get("locationName", "member")
                incoming = "" if flat or "ec2" in self.model.protocols else name
                fields.append(f".element_in = {quoted(incoming)}, .element_out = {quoted('' if flat else name)}")
        if shape.get("enum"):
            out.append(f"constexpr std::string_view e_{shape_name}[] = {{{', '.join(map(quoted, shape['enum']))}}};")
            fields.append(f".values = e_{shape_name}")
        elif usable_pattern(shape):
            fields.append(f".pattern = {quoted(shape['pattern'])}")
        for bound in ("min", "max"):
            if bound in shape and abs(shape[bound]) < 2**62:
                fields.append(f".{bound} = {int(shape[bound])}")
        if shape.get("sensitive"):
            fields.append(".sensitive = true")
        head = f".kind = Kind::{SCALARS[kind][1] if kind in SCALARS else kind.capitalize()}, .name = {quoted(shape_name)}"
        out.append(f"constexpr Shape {symbol} = {{{', '.join([head, *fields])}}};")
        return symbol

    def struct_table(self, name, symbol, seen, out):
        rows = []
        for member, ref, required in self.structs[name]:
            element = self.table_of(ref["shape"], seen, out)
            optional = self.held(ref, required)[1]
            slot = f"kOptional<{self.cpp(ref['shape'])}>" if optional else "Slot{}"
            if name in ABSENT_WHEN_EMPTY.get(self.service, {}) and member not in ABSENT_WHEN_EMPTY[self.service][name] and not optional and not required:
                slot = f"kUnlessEmpty<{self.cpp(ref['shape'])}>"
            rows.append(f"    {{{quoted(member)}, {quoted(self.query_in(member, ref))}, {quoted(ref.get('locationName', member))}, "
                        f"offsetof({self.namespace}::{name}, {member_name(member)}), &{element}, {slot}, {str(required).lower()}}},")
        span = ""
        if rows:
            out += [f"constexpr Member m_{name}[] = {{", *rows, "};"]
            span = f", .members = m_{name}"
        out.append(f"constexpr Shape {symbol} = {{.kind = Kind::Structure, .name = {quoted(name)}{span}}};")

    def query_in(self, member, ref):
        if "ec2" not in self.model.protocols:
            return ref.get("locationName", member)
        name = ref.get("queryName") or ref.get("locationName") or member
        return ref["queryName"] if "queryName" in ref else name[0].upper() + name[1:]

    def accept_table(self, symbol, name, node, out):
        """Appends the arrays below a node; returns the initialiser of the node itself."""
        fields = [f".name = {quoted(name)}"]
        if node.children:
            rows = [self.accept_table(f"{symbol}_{child}", child, sub, out) for child, sub in node.children.items()]
            out.append(f"constexpr Accept {symbol}[] = {{{', '.join(rows)}}};")
            fields.append(f".children = {symbol}")
        if node.all:
            fields.append(".all = true")
        if node.values:
            out.append(f"constexpr std::string_view {symbol}_values[] = {{{', '.join(map(quoted, node.values))}}};")
            fields.append(f".values = {symbol}_values")
        return "{" + ", ".join(fields) + "}"

    def errors(self):
        found = {}
        for operation in self.listing.operations:
            for ref in self.model.operations[operation].get("errors", ()):
                shape = self.model.shapes[ref["shape"]]
                info = shape.get("error", {})
                code = info.get("code", ref["shape"]) if {"query", "ec2"} & set(self.model.protocols) else ref["shape"]
                status = info.get("httpStatusCode", 500 if shape.get("fault") else 400)
                if code != ref["shape"] or status != 400:
                    found[ref["shape"]] = (code, status)
        return [f"    {{{quoted(n)}, {quoted(c)}, {s}}}," for n, (c, s) in sorted(found.items())]

    # --- all of it ---

    def generate(self):
        for name, operation in self.listing.operations.items():
            accepted = operation.accepted
            only = None if accepted.all else set(accepted.children)
            self.collect(name + "Request", self.model.input_of(name), only, ())
            self.collect(name + "Response", self.model.output_of(name), None, ())
            self.tops |= {name + "Request", name + "Response"}
        for name in self.structs.keys() - self.tops:
            self.header(f"shape/{name}.h", [name])
        for name in self.listing.operations:
            self.header(f"{snake_case(name)}.h", [name + "Request", name + "Response"],
                        [f"Result<{name}Response> {snake_case(name)}(Call& call, const {name}Request& request);", ""],
                        ['#include "aws/call.h"'])
        self.tables()
        return {f"aws/gen/{self.service}/{path}": "\n".join(lines) + "\n" for path, lines in self.files.items()}

    def tables(self):
        shapes, rows, accepts, seen = [], [], [], set()
        for name, operation in self.listing.operations.items():
            for which in ("Request", "Response"):
                self.struct_table(name + which, f"s_{name}{which}", seen, shapes)
            accept = self.accept_table(f"a_{name}", "", operation.accepted, accepts)
            run_with = f"run_handler<{self.namespace}::{name}Request, {self.namespace}::{name}Response, {self.namespace}::{snake_case(name)}>"
            rows.append(f"    {{{quoted(name)}, s_{name}Request, s_{name}Response, {accept}, "
                        f"{str(operation.pool).lower()}, {run_with}}},")
        meta, errors = self.model.meta, self.errors()
        text = ["// Generated by scripts/gen_shapes.py.", "#include <cstddef>", "",
                *[f'#include "aws/gen/{self.service}/{snake_case(name)}.h"' for name in sorted(self.listing.operations)],
                '#include "aws/service.h"', "", '#pragma GCC diagnostic ignored "-Winvalid-offsetof"', "",
                "namespace watari::aws {", "namespace {", "", *shapes, "", *accepts, "",
                "constexpr Operation kOperations[] = {", *rows, "};"]
        if errors:
            text += ["constexpr ModelError kErrors[] = {", *errors, "};"]
        protocols = ", ".join(f"Protocol::{protocol.capitalize()}" for protocol in self.model.protocols)
        text += [f"constexpr Protocol kProtocols[] = {{{protocols}}};"]
        text += ["", "}  // namespace", "", f"extern const Service k_{self.namespace};", f"constinit const Service k_{self.namespace} = {{",
                 f"    .name = {quoted(self.service)},",
                 f"    .signing_name = {quoted(meta.get('signingName') or meta['endpointPrefix'])},",
                 "    .protocols = kProtocols,", f"    .target_prefix = {quoted(meta.get('targetPrefix', ''))},",
                 f"    .api_version = {quoted(meta['apiVersion'])},", f"    .xml_namespace = {quoted(meta.get('xmlNamespace', ''))},",
                 f"    .validation_code = {quoted(self.listing.validation)},", "    .operations = kOperations,",
                 f"    .errors = {'kErrors' if errors else '{}'},", "};", "", "}  // namespace watari::aws"]
        self.files["tables.cc"] = text


def usable_pattern(shape):
    """Patterns that std::regex understands, on strings short enough to be worth it. The rest are left to the handlers."""
    pattern = shape.get("pattern")
    if not pattern or shape["type"] != "string" or shape.get("max", 1 << 30) > 2048 or not pattern.isascii():
        return False
    if re.search(r"\\[puQEzAZ]|\[:|\(\?|&&|\[\[|\{\d{4}|\]\]", pattern) or pattern in (".*", "[\\s\\S]*", "^.*$"):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def services_file(names):
    return "\n".join(["// Generated by scripts/gen_shapes.py.", '#include "aws/service.h"', "", "namespace watari::aws {", "",
                      *[f"extern const Service k_{n};" for n in names], "", "std::span<const Service* const> services() {",
                      f"  static constexpr const Service* kAll[] = {{{', '.join('&k_' + n for n in names)}}};", "  return kAll;", "}", "",
                      "}  // namespace watari::aws", ""])


def write_all(out, files):
    for path, text in files.items():
        target = out / path
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    for stale in set((out / "aws/gen").rglob("*.*")) - {out / path for path in files}:
        stale.unlink()


def main():
    source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    files, names = {}, []
    for service, (model, listing) in load_all(source).items():
        files |= Generator(service, model, listing).generate()
        names.append(service.replace("-", "_"))
    files["aws/gen/services.cc"] = services_file(names)
    write_all(out, files)
    print("\n".join(str(out / path) for path in sorted(files) if path.endswith(".cc")))


run(main)
