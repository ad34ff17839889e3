#pragma once
// COPY and ADD: finding the source files, telling what they hold, and copying them into a mounted root. Blocking; any thread.
// Source: https://docs.docker.com/reference/dockerfile/#copy; owners and existing directories as BuildKit does it.
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "builder/contexts.h"
#include "builder/file_mode.h"
#include "builder/rooted.h"
#include "builder/stop_signal.h"
#include "codec/ignore.h"
#include "codec/json.h"

namespace watari::builder {

// Which files below a source directory are copied, by their paths relative to it.
struct Selection {
  std::optional<codec::IgnoreRules> include;  // of --parents: only what a rule covers, and the directories that lead there
  codec::IgnoreRules exclude;                 // of --exclude
  bool wants(const std::string& path) const { return (!include || include->ignores(path)) && !exclude.ignores(path); }
};

// One source of a COPY, links resolved.
struct Source {
  std::filesystem::path path;  // on the host
  std::string name;            // what it is called in the destination directory
  bool directory = false;      // its contents are copied, not itself
  Selection selection = {};    // of a directory
  bool archive = false;        // an unpacked one: modes are its own, and owners without --chown
  bool local = true;           // ADD unpacks it when it is an archive
};

// What the patterns (Go's filepath.Match, relative to `root`) name, in order. A pattern with wildcards may find nothing; NotFound
// says which plain name has no file.
Result<std::vector<Source>> find_sources(const std::filesystem::path& root, const std::vector<std::string>& patterns);
// `--parents`: the path below the "/./" of the pattern (or all of it) is kept.
Result<std::vector<Source>> find_with_parents(const std::filesystem::path& root, const std::string& pattern);

// Every file below the sources with its mode and the digest of its bytes (or its link), never a time: {"a/b": "100644 <sha256>"}.
// With `owners` their uid:gid too.
// What is in a context with an index is taken from there and not read.
Result<codec::Json> describe_sources(const std::vector<Source>& sources, bool owners, const StopSignal& stop, const std::vector<Context>& contexts = {});

// Where a copy goes. `view` shows what is there before it, `upper` gets what is new, in the form of an overlay's upper directory; both may be
// the same plain directory. Writing beside the overlay and not through it costs half, and lets files be hard links.
struct CopyTarget {
  std::filesystem::path view, upper;
};

// What the regular files of a layer are, by their paths in it: "644 0:0 <mtime> <sha256>", then attributes. Of files that have one name
// in their context, or their first.
using LayerContents = std::unordered_map<std::string, std::string>;
struct EarlierLayer {
  std::filesystem::path directory;
  LayerContents contents;
};

struct CopyOptions {
  std::string destination;           // absolute in the image; a trailing slash makes it a directory
  std::optional<Owner> owner;        // nullopt keeps the source's
  bool chown = false;                // the owner was asked for
  std::optional<FileMode> mode;
  // Files that come out as they are somewhere already become further names of those, which costs no inode and no bytes. Two rules keep a
  // container from seeing one inode at two of its paths: layers share a file only at the same path, and a context gives each to one layer.
  const std::vector<Context>* contexts = nullptr;  // that the sources are in; they never change. nullptr: nothing is shared
  const EarlierLayer* earlier = nullptr;           // what the same instruction made the last time
  std::optional<std::int64_t> epoch;               // files younger than this are not shared: they are given this time later
  LayerContents* made = nullptr;                   // gets the files that the context's index knows
};
// InvalidArgument when several sources go to what is no directory.
Result<void> copy_sources(const std::vector<Source>& sources, const CopyTarget& target, const CopyOptions& options, const StopSignal& stop);

}  // namespace watari::builder
