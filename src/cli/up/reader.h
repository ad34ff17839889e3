#pragma once
// Takes values out of a YAML file and collects every mistake with its place, instead of stopping at the first.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "codec/yaml.h"

namespace watari::cli::up {

class Reader {
 public:
  using Yaml = codec::Yaml;
  // What to do with the value of a key.
  using Fields = std::vector<std::pair<std::string, std::function<void(const Yaml&)>>>;

  explicit Reader(std::string file) : file_(std::move(file)) {}

  void wrong(const Yaml& at, const std::string& what);
  // The value of ${name}; others are mistakes. Text in front of and behind it stays; $$ is a dollar sign.
  void set_variables(std::map<std::string, std::string> variables) { variables_ = std::move(variables); }

  // A map with these keys and no others; a wrong key is told with the nearest right one.
  void map(const Yaml& at, const Fields& fields);
  // A map with any keys.
  void each(const Yaml& at, const std::function<void(const Yaml& key, const Yaml& value)>& visit);
  void list(const Yaml& at, const std::function<void(const Yaml& item)>& visit);

  std::string text(const Yaml& at);  // with variables replaced
  std::string name(const Yaml& at);  // letters, digits and dashes, as AWS names are
  std::int64_t number(const Yaml& at, std::int64_t least, std::int64_t most);
  bool boolean(const Yaml& at);
  Seconds duration(const Yaml& at);         // 30, 30s, 5m, 1h
  std::int64_t mebibytes(const Yaml& at);   // 512, 512m, 2g
  std::vector<std::string> command(const Yaml& at, bool health);  // a list is taken as it is, a text goes to a shell
  std::map<std::string, std::string> texts(const Yaml& at);       // name: text
  // One of these words.
  std::string word(const Yaml& at, const std::vector<std::string>& words);

  // All mistakes as one error, in the order of the file.
  Result<void> finish() const;
  bool has_mistakes() const { return !mistakes_.empty(); }

 private:
  std::string file_;
  std::map<std::string, std::string> variables_;
  std::map<std::pair<int, int>, std::string> mistakes_;  // one a place
};

// The candidate that was probably meant; "" when none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace watari::cli::up
