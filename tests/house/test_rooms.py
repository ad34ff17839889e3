"""The house rules that a compiler does not check: who includes whom, and where third-party types stop."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

# Lowest first; rooms in one group do not include each other unless ALLOWED says so (docs/architecture.md).
ORDER = [
    ["base"],
    ["codec", "sys", "store", "model"],
    ["async"],
    ["net", "oci"],
    ["runtime", "vault", "logs", "balancer", "registry", "builder"],
    ["engine"],
    ["plan", "metrics"],
    ["control"],
    ["aws"],
]
SAME_LEVEL = {("store", "codec")}
ONLY = {
    "plan": {"base", "model"},
    "metrics": {"base", "model"},
    "cli": {"base", "codec", "net", "model"},
}
# Library headers and the rooms that may see them.
LIBRARIES = {
    r"boost/(asio|beast)": {"net"},
    r"boost/json": {"codec"},
    r"sqlite3\.h": {"store"},
    r"netlink/|nftables/": {"sys"},
    r"curl/curl\.h": {"net"},
    r"yaml-cpp|pugixml|archive\.h|zstd\.h": {"codec"},
    r"spdlog/": {"base"},
}
# Heavy headers may be included by .cc files only.
HEAVY = re.compile(r"boost/(asio|beast|json)(?!/awaitable\.hpp)|sqlite3\.h|netlink/|nftables/|shapes/.*_all\.h")


def rank(room):
    return next((i for i, group in enumerate(ORDER) if room in group), None)


def sources():
    for path in sorted(SRC.rglob("*")):
        if path.suffix in (".h", ".cc"):
            yield path, path.relative_to(SRC).parts[0]


def includes(path, pattern):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := re.match(r"\s*#\s*include\s+" + pattern, line):
            yield number, found.group(1)


def test_a_room_includes_only_rooms_below_it():
    wrong = []
    for path, room in sources():
        for number, header in includes(path, r'"([^"]+)"'):
            other = header.split("/")[0]
            if other == room or not (SRC / other).is_dir():
                continue
            if room in ONLY:
                fine = other in ONLY[room]
            else:
                fine = rank(other) is not None and (rank(other) < rank(room) or (room, other) in SAME_LEVEL)
            if not fine:
                wrong.append(f"{path.relative_to(ROOT)}:{number} includes {header}")
    assert not wrong, "\n".join(wrong)


def test_third_party_types_stop_at_one_room():
    wrong = []
    for path, room in sources():
        for number, header in includes(path, r"<([^>]+)>"):
            for library, rooms in LIBRARIES.items():
                if re.match(library, header) and room not in rooms:
                    wrong.append(f"{path.relative_to(ROOT)}:{number} includes <{header}>; only {sorted(rooms)} may")
            if path.suffix == ".h" and HEAVY.match(header):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: <{header}> is too heavy for a header")
    assert not wrong, "\n".join(wrong)


def test_every_room_says_what_it_is_for():
    rooms = {room for _, room in sources()}
    missing = [room for room in sorted(rooms) if not (SRC / room / "README.md").is_file()]
    assert not missing, f"no README.md in {missing}"


def test_no_test_asserts_how_long_something_took():
    suspicious = re.compile(r"(EXPECT|ASSERT)_(LT|LE)\([^;]*(elapsed|duration|took)|assert .*(elapsed|took|duration)\s*<")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("unit", "functional", "wire", "sim")
        for path in sorted((ROOT / "tests" / folder).rglob("*"))
        if path.suffix in (".cc", ".py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if suspicious.search(line)
    ]
    assert not wrong, "timing belongs to bench/: " + ", ".join(wrong)
