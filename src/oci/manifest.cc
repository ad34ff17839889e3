#include "oci/manifest.h"

#include "codec/json.h"
#include "oci/reference.h"

namespace watari::oci {

using codec::Json;

namespace {

auto wrong(std::string_view what) { return fail(Code::InvalidArgument, "manifest: {}", what); }

std::map<std::string, std::string> string_map(const Json& json) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : json.as_object()) out.emplace(name, value.as_string());
  return out;
}

Result<Descriptor> parse_descriptor(const Json& json, std::string_view where) {
  Descriptor out;
  out.media_type = json["mediaType"].as_string();
  out.digest = json["digest"].as_string();
  out.artifact_type = json["artifactType"].as_string();
  out.size = json["size"].as_int(-1);
  out.architecture = json["platform"]["architecture"].as_string();
  out.os = json["platform"]["os"].as_string();
  out.annotations = string_map(json["annotations"]);
  if (!valid_digest(out.digest)) return wrong(fmt::format("{} has no digest of the form sha256:<64 hexadecimal digits> or sha512:<128>", where));
  if (out.size < 0) return wrong(fmt::format("{} has no size", where));
  return out;
}

Result<std::vector<Descriptor>> parse_descriptors(const Json& json, std::string_view where) {
  if (!json.is_array() && !json.is_null()) return wrong(fmt::format("{} is no list", where));
  std::vector<Descriptor> out;
  for (const auto& item : json.as_array()) {
    TRY(auto descriptor, parse_descriptor(item, where));
    out.push_back(std::move(descriptor));
  }
  return out;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view json, std::string_view content_type) {
  auto document = codec::parse_json(json);
  if (!document || !document->is_object()) return wrong("it is no JSON object");
  const Json& root = *document;
  if (root["schemaVersion"].as_int() != 2) return wrong("schemaVersion is not 2");
  Manifest out;
  out.media_type = root["mediaType"].as_string();
  content_type = content_type.substr(0, content_type.find(';'));
  if (!content_type.empty() && !out.media_type.empty() && content_type != out.media_type)
    return wrong(fmt::format("its mediaType {} is not the content type {}", out.media_type, content_type));
  if (out.media_type.empty()) out.media_type = content_type;
  if (out.media_type.empty()) out.media_type = root.has("manifests") ? kOciIndex : kOciManifest;
  out.is_index = out.media_type == kOciIndex || out.media_type == kDockerIndex;
  if (!out.is_index && out.media_type != kOciManifest && out.media_type != kDockerManifest)
    return wrong(fmt::format("the media type {} is not supported; push an OCI or Docker v2 schema 2 image", out.media_type));
  // An index that is also a manifest means two things to two readers (CVE-2021-41190).
  if (out.is_index ? root.has("layers") || root.has("config") : root.has("manifests")) return wrong("it is a manifest and an index at once");
  out.artifact_type = root["artifactType"].as_string();
  out.annotations = string_map(root["annotations"]);
  if (root.has("subject")) {
    TRY(out.subject, parse_descriptor(root["subject"], "subject"));
  }
  if (out.is_index) {
    TRY(out.manifests, parse_descriptors(root["manifests"], "manifests"));
    return out;
  }
  TRY(out.config, parse_descriptor(root["config"], "config"));
  TRY(out.layers, parse_descriptors(root["layers"], "layers"));
  return out;
}

Result<Descriptor> select_platform(const Manifest& index) {
  std::string others;
  for (const auto& entry : index.manifests) {
    if (entry.os == "linux" && entry.architecture == "amd64") return entry;
    others += (others.empty() ? "" : ", ") + entry.os + "/" + entry.architecture;
  }
  // An index of one image that does not say what it is for.
  if (index.manifests.size() == 1 && others == "/") return index.manifests[0];
  return fail(Code::FailedPrecondition, "the image has no variant for linux/amd64, only for {}", others.empty() ? "nothing" : others);
}

namespace {

std::vector<std::string> strings(const Json& json) {
  std::vector<std::string> out;
  for (const auto& item : json.as_array()) out.push_back(item.as_string());
  return out;
}

std::vector<std::string> keys(const Json& json) {
  std::vector<std::string> out;
  for (const auto& [name, value] : json.as_object()) out.push_back(name);
  return out;
}

std::chrono::nanoseconds from_nanoseconds(const Json& json) { return std::chrono::nanoseconds(json.as_int()); }

Json string_list(const std::vector<std::string>& list) {
  Json out = Json::array();
  for (const auto& item : list) out.push(Json(item));
  return out;
}

Json key_set(const std::vector<std::string>& names) {
  Json out = Json::object();
  for (const auto& name : names) out.set(name, Json::object());
  return out;
}

Json health_json(const ImageConfig& config) {
  Json out = Json::object();
  out.set("Test", string_list(config.health_test));
  const auto add = [&](std::string_view name, std::chrono::nanoseconds value) {
    if (value.count() > 0) out.set(name, Json(std::int64_t{value.count()}));
  };
  add("Interval", config.health_interval);
  add("Timeout", config.health_timeout);
  add("StartPeriod", config.health_start_period);
  add("StartInterval", config.health_start_interval);
  if (config.health_retries > 0) out.set("Retries", Json(config.health_retries));
  return out;
}

// Members in a fixed order, empty ones left out: the digest of an image depends on it.
Json config_json(const ImageConfig& config) {
  Json out = Json::object();
  const auto text = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out.set(name, Json(value));
  };
  const auto list = [&](std::string_view name, const std::vector<std::string>& value) {
    if (!value.empty()) out.set(name, string_list(value));
  };
  text("User", config.user);
  if (!config.exposed_ports.empty()) out.set("ExposedPorts", key_set(config.exposed_ports));
  list("Env", config.env);
  list("Entrypoint", config.entrypoint);
  list("Cmd", config.cmd);
  if (!config.volumes.empty()) out.set("Volumes", key_set(config.volumes));
  text("WorkingDir", config.working_dir);
  if (!config.labels.empty()) {
    Json labels = Json::object();
    for (const auto& [name, value] : config.labels) labels.set(name, Json(value));
    out.set("Labels", std::move(labels));
  }
  text("StopSignal", config.stop_signal);
  if (!config.health_test.empty()) out.set("Healthcheck", health_json(config));
  list("Shell", config.shell);
  list("OnBuild", config.on_build);
  return out;
}

ImageConfig parse_image_config(const Json& json) {
  const Json& health = json["Healthcheck"];
  return ImageConfig{.user = json["User"].as_string(),
                     .working_dir = json["WorkingDir"].as_string(),
                     .stop_signal = json["StopSignal"].as_string(),
                     .env = strings(json["Env"]),
                     .entrypoint = strings(json["Entrypoint"]),
                     .cmd = strings(json["Cmd"]),
                     .exposed_ports = keys(json["ExposedPorts"]),
                     .volumes = keys(json["Volumes"]),
                     .labels = string_map(json["Labels"]),
                     .health_test = strings(health["Test"]),
                     .health_interval = from_nanoseconds(health["Interval"]),
                     .health_timeout = from_nanoseconds(health["Timeout"]),
                     .health_start_period = from_nanoseconds(health["StartPeriod"]),
                     .health_start_interval = from_nanoseconds(health["StartInterval"]),
                     .health_retries = static_cast<int>(health["Retries"].as_int()),
                     .shell = strings(json["Shell"]),
                     .on_build = strings(json["OnBuild"])};
}

}  // namespace

Result<void> read_config(std::string_view json, Image& image) {
  auto document = codec::parse_json(json);
  if (!document || !document->is_object()) return fail(Code::InvalidArgument, "image config: it is no JSON object");
  const Json& root = *document;
  const auto& diff_ids = root["rootfs"]["diff_ids"].as_array();
  if (diff_ids.size() != image.layers.size())
    return fail(Code::InvalidArgument, "image config: {} diff_ids for {} layers", diff_ids.size(), image.layers.size());
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    image.layers[i].diff_id = diff_ids[i].as_string();
    if (!valid_digest(image.layers[i].diff_id)) return fail(Code::InvalidArgument, "image config: the diff id {} is no digest", diff_ids[i].dump());
  }
  image.architecture = root["architecture"].as_string();
  image.os = root["os"].as_string();
  image.created = root["created"].as_string();
  image.author = root["author"].as_string();
  image.config = parse_image_config(root["config"]);
  image.history.clear();
  for (const auto& entry : root["history"].as_array())
    image.history.push_back({entry["created_by"].as_string(), entry["comment"].as_string(), entry["empty_layer"].as_bool(),
                             entry["created"].as_string()});
  // The history is optional; what is built on the image must know which layers came before.
  if (image.history.empty()) image.history.resize(image.layers.size());
  return {};
}

std::string write_config(const Image& image) {
  Json out = Json::object();
  if (!image.created.empty()) out.set("created", Json(image.created));
  if (!image.author.empty()) out.set("author", Json(image.author));
  out.set("architecture", Json(image.architecture));
  out.set("os", Json(image.os));
  out.set("config", config_json(image.config));
  Json diff_ids = Json::array();
  for (const auto& layer : image.layers) diff_ids.push(Json(layer.diff_id));
  out.set("rootfs", Json::object({{"type", "layers"}, {"diff_ids", std::move(diff_ids)}}));
  if (!image.history.empty()) {
    Json history = Json::array();
    for (const auto& entry : image.history) {
      Json item = Json::object();
      if (!entry.created.empty()) item.set("created", Json(entry.created));
      if (!entry.created_by.empty()) item.set("created_by", Json(entry.created_by));
      if (!entry.comment.empty()) item.set("comment", Json(entry.comment));
      if (entry.empty_layer) item.set("empty_layer", Json(true));
      history.push(std::move(item));
    }
    out.set("history", std::move(history));
  }
  return out.dump();
}

std::string write_manifest(const Image& image, std::int64_t config_size) {
  const auto descriptor = [](std::string_view type, const std::string& digest, std::int64_t size) {
    return Json::object({{"mediaType", type}, {"digest", digest}, {"size", size}});
  };
  Json layers = Json::array();
  for (const auto& layer : image.layers) layers.push(descriptor(layer.media_type.empty() ? kOciLayer : layer.media_type, layer.digest, layer.size));
  return Json::object({{"schemaVersion", 2},
                       {"mediaType", kOciManifest},
                       {"config", descriptor(kOciConfig, image.config_digest, config_size)},
                       {"layers", std::move(layers)}})
      .dump();
}

}  // namespace watari::oci
