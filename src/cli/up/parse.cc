// watari.yml -> App.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include "base/strings.h"
#include "cli/up/app.h"
#include "cli/up/reader.h"

namespace watari::cli::up {
namespace {

using codec::Yaml;

std::string list_of(const std::vector<int>& numbers) {
  std::vector<std::string> texts;
  for (int number : numbers) texts.push_back(std::to_string(number));
  return join(texts, ", ");
}

class Parser {
 public:
  Parser(const std::string& file, const std::filesystem::path& directory, std::string environment)
      : reader_(file) {
    app_.directory = directory;
    app_.environment = std::move(environment);
  }

  Result<App> parse(const Yaml& root) {
    choose_environment(root);
    TRY_VOID(reader_.finish());
    collect_variables(root);
    reader_.map(root, {{"app", [](const Yaml&) {}},
                       {"variables", [](const Yaml&) {}},
                       {"environments", [&](const Yaml& at) { check_environments(at); }},
                       {"images", [&](const Yaml& at) { images(at); }},
                       {"services", [&](const Yaml& at) { services(at); }}});
    if (!root.find("services")) reader_.wrong(root, "no services: say at least one (services: {web: {image: …}})");
    if (const auto* changes = change_of(root, "services")) change_services(*changes);
    check_images();
    check_ports();
    order_services();
    TRY_VOID(reader_.finish());
    return std::move(app_);
  }

 private:
  void choose_environment(const Yaml& root) {
    const auto* app = root.find("app");
    if (!app) return reader_.wrong(root, "no app: say what the application is called (app: shop)");
    app_.name = reader_.name(*app);
    const auto* environments = root.find("environments");
    std::vector<std::string> names;
    if (environments)
      reader_.each(*environments, [&](const Yaml& key, const Yaml&) { names.push_back(reader_.name(key)); });
    auto& chosen = app_.environment;
    if (names.empty() && chosen.empty()) chosen = "production";
    if (names.size() == 1 && chosen.empty()) chosen = names[0];
    if (chosen.empty()) return reader_.wrong(*environments, fmt::format("which environment? say --env {}", join(names, " or --env ")));
    if (!names.empty() && std::ranges::find(names, chosen) == names.end()) {
      auto meant = nearest(chosen, names);
      reader_.wrong(*environments, fmt::format("no environment {} here{} (there are: {})", chosen,
                                               meant.empty() ? "" : ": did you mean " + meant + "?", join(names, ", ")));
    }
  }

  // What the chosen environment says under `key`.
  const Yaml* change_of(const Yaml& root, const char* key) {
    const auto* environments = root.find("environments");
    const auto* mine = environments ? environments->find(app_.environment) : nullptr;
    return mine ? mine->find(key) : nullptr;
  }

  void collect_variables(const Yaml& root) {
    std::map<std::string, std::string> variables = {{"app", app_.name}, {"env", app_.environment}};
    reader_.set_variables(variables);
    auto add = [&](const Yaml* at) {
      if (!at) return;
      for (auto& [name, value] : reader_.texts(*at)) variables[name] = value;
    };
    add(root.find("variables"));
    add(change_of(root, "variables"));
    reader_.set_variables(std::move(variables));
  }

  // All environments, so that a mistake in production shows when staging is brought up.
  void check_environments(const Yaml& at) {
    reader_.each(at, [&](const Yaml&, const Yaml& environment) {
      reader_.map(environment, {{"variables", [&](const Yaml& value) { reader_.each(value, [](const Yaml&, const Yaml&) {}); }},
                                {"services", [&](const Yaml& value) { reader_.each(value, [](const Yaml&, const Yaml&) {}); }}});
    });
  }

  Image image_from(const Yaml& at, std::string name) {
    Image image{.name = std::move(name)};
    if (at.kind == Yaml::Kind::Scalar) {
      image.context = reader_.text(at);
    } else {
      reader_.map(at, {{"context", [&](const Yaml& v) { image.context = reader_.text(v); }},
                       {"dockerfile", [&](const Yaml& v) { image.dockerfile = reader_.text(v); }},
                       {"target", [&](const Yaml& v) { image.target = reader_.text(v); }},
                       {"args", [&](const Yaml& v) { image.args = reader_.texts(v); }}});
    }
    if (image.context.empty()) image.context = ".";
    if (!std::filesystem::is_regular_file(app_.directory / image.context / image.dockerfile))
      reader_.wrong(at, fmt::format("no {} in {}", image.dockerfile, (app_.directory / image.context).lexically_normal().string()));
    return image;
  }

  void images(const Yaml& at) {
    reader_.each(at, [&](const Yaml& key, const Yaml& value) { app_.images.push_back(image_from(value, reader_.name(key))); });
  }

  void services(const Yaml& at) {
    reader_.each(at, [&](const Yaml& key, const Yaml& value) { service(key, value); });
  }

  void service(const Yaml& key, const Yaml& at) {
    Service out{.name = reader_.name(key)};
    places_[out.name] = key;
    Container single{.name = out.name};
    bool several = at.find("containers") != nullptr;
    Reader::Fields fields = {
        {"replicas", [&](const Yaml& v) { out.replicas = static_cast<int>(reader_.number(v, 0, 1000)); }},
        {"cpu", [&](const Yaml& v) { out.cpu = reader_.number(v, 1, 262'144); }},
        {"memory", [&](const Yaml& v) { out.memory = reader_.mebibytes(v); }},
        {"depends_on", [&](const Yaml& v) { reader_.list(v, [&](const Yaml& item) { out.depends_on.push_back(reader_.name(item)); }); }},
        {"load_balancer", [&](const Yaml& v) { load_balancer(v, out); }},
        {"release", [&](const Yaml& v) { release(v, out); }},
        {"containers", [&](const Yaml& v) {
           reader_.each(v, [&](const Yaml& name, const Yaml& value) {
             Container container{.name = reader_.name(name)};
             reader_.map(value, container_fields(container, out, true));
             if (!value.find("image") && !value.find("build")) reader_.wrong(name, container.name + " has no image (image: NAME, or build: DIRECTORY)");
             out.containers.push_back(std::move(container));
           });
         }}};
    if (!several)
      for (auto& field : container_fields(single, out, false)) fields.push_back(std::move(field));
    reader_.map(at, fields);
    if (!several) {
      if (!at.find("image") && !at.find("build")) reader_.wrong(key, out.name + " has neither an image nor containers");
      out.containers.push_back(std::move(single));
    }
    complete(out, at, key);
    app_.services.push_back(std::move(out));
  }

  Reader::Fields container_fields(Container& c, Service& owner, bool one_of_several) {
    Reader::Fields fields = {
        {"image", [&](const Yaml& v) { c.image = reader_.text(v), image_places_[owner.name + "/" + c.name] = v; }},
        {"build", [&](const Yaml& v) {
           app_.images.push_back(image_from(v, owner.name == c.name ? c.name : owner.name + "-" + c.name));
           c.image = app_.images.back().name;
         }},
        {"command", [&](const Yaml& v) { c.command = reader_.command(v, false); }},
        {"entrypoint", [&](const Yaml& v) { c.entrypoint = reader_.command(v, false); }},
        {"environment", [&](const Yaml& v) { c.environment = reader_.texts(v); }},
        {"secrets", [&](const Yaml& v) { c.secrets = reader_.texts(v); }},
        {"ports", [&](const Yaml& v) {
           reader_.list(v, [&](const Yaml& item) { c.ports.push_back(static_cast<int>(reader_.number(item, 1, 65535))); });
         }},
        {"health_check", [&](const Yaml& v) { c.health_check = health_check(v); }},
        {"volumes", [&](const Yaml& v) { volumes(v, c); }},
        {"stop_timeout", [&](const Yaml& v) { c.stop_timeout = reader_.duration(v); }},
        {"user", [&](const Yaml& v) { c.user = reader_.text(v); }},
        {"working_directory", [&](const Yaml& v) { c.working_directory = reader_.text(v); }}};
    if (one_of_several) {
      fields.emplace_back("cpu", [&](const Yaml& v) { c.cpu = reader_.number(v, 1, 262'144); });
      fields.emplace_back("memory", [&](const Yaml& v) { c.memory = reader_.mebibytes(v); });
      fields.emplace_back("essential", [&](const Yaml& v) { c.essential = reader_.boolean(v); });
      fields.emplace_back("depends_on", [&](const Yaml& v) { container_dependencies(v, c); });
    }
    return fields;
  }

  HealthCheck health_check(const Yaml& at) {
    HealthCheck check;
    if (at.kind == Yaml::Kind::Scalar || at.kind == Yaml::Kind::List) {
      check.command = reader_.command(at, true);
      return check;
    }
    reader_.map(at, {{"command", [&](const Yaml& v) { check.command = reader_.command(v, true); }},
                     {"interval", [&](const Yaml& v) { check.interval = between(v, 1, 300); }},
                     {"timeout", [&](const Yaml& v) { check.timeout = between(v, 1, 120); }},
                     {"start_period", [&](const Yaml& v) { check.start_period = between(v, 0, 300); }},
                     {"retries", [&](const Yaml& v) { check.retries = static_cast<int>(reader_.number(v, 1, 10)); }}});
    if (check.command.empty()) reader_.wrong(at, "a health check without a command");
    return check;
  }

  Seconds between(const Yaml& at, int least, int most) {
    auto value = reader_.duration(at);
    if (value < Seconds(least) || value > Seconds(most)) reader_.wrong(at, fmt::format("{} is not from {}s to {}s", at.text, least, most));
    return value;
  }

  void container_dependencies(const Yaml& at, Container& c) {
    if (at.kind == Yaml::Kind::List)
      return reader_.list(at, [&](const Yaml& item) { c.depends_on.push_back({reader_.name(item), "START"}); });
    reader_.each(at, [&](const Yaml& key, const Yaml& value) {
      auto word = reader_.word(value, {"started", "healthy", "completed", "succeeded"});
      auto condition = word == "healthy" ? "HEALTHY" : word == "completed" ? "COMPLETE" : word == "succeeded" ? "SUCCESS" : "START";
      c.depends_on.push_back({reader_.name(key), condition});
      dependency_places_[c.name + "/" + key.text] = key;
    });
  }

  void volumes(const Yaml& at, Container& c) {
    reader_.each(at, [&](const Yaml& key, const Yaml& value) {
      Mount mount{.volume = reader_.name(key)};
      if (value.kind == Yaml::Kind::Scalar) mount.path = reader_.text(value);
      else reader_.map(value, {{"path", [&](const Yaml& v) { mount.path = reader_.text(v); }},
                               {"read_only", [&](const Yaml& v) { mount.read_only = reader_.boolean(v); }}});
      if (!mount.path.starts_with('/')) reader_.wrong(value, "a volume needs an absolute path in the container (data: /var/lib/data)");
      c.volumes.push_back(std::move(mount));
    });
  }

  void load_balancer(const Yaml& at, Service& owner) {
    LoadBalancer b;
    port_places_[owner.name] = at;
    auto take_port = [&](const Yaml& v) {
      b.port = static_cast<int>(reader_.number(v, 1, 65535));
      port_places_[owner.name] = v;
    };
    reader_.map(at, {{"port", take_port},
                     {"container", [&](const Yaml& v) { b.container = reader_.name(v); }},
                     {"container_port", [&](const Yaml& v) { b.container_port = static_cast<int>(reader_.number(v, 1, 65535)); }},
                     {"health", [&](const Yaml& v) { balancer_health(v, b); }},
                     {"deregistration_delay", [&](const Yaml& v) { b.deregistration_delay = between(v, 0, 3600); }},
                     {"idle_timeout", [&](const Yaml& v) { b.idle_timeout = between(v, 1, 4000); }}});
    if (!at.find("port")) reader_.wrong(at, "a load balancer needs a port to listen on (port: 8080)");
    owner.load_balancer = b;
  }

  void balancer_health(const Yaml& at, LoadBalancer& b) {
    if (at.kind == Yaml::Kind::Scalar) {
      b.health_path = reader_.text(at);
    } else {
      reader_.map(at, {{"path", [&](const Yaml& v) { b.health_path = reader_.text(v); }},
                       {"codes", [&](const Yaml& v) { b.health_codes = reader_.text(v); }},
                       {"interval", [&](const Yaml& v) { b.health_interval = between(v, 1, 300); }},
                       {"timeout", [&](const Yaml& v) { b.health_timeout = between(v, 1, 120); }},
                       {"healthy", [&](const Yaml& v) { b.healthy = static_cast<int>(reader_.number(v, 1, 10)); }},
                       {"unhealthy", [&](const Yaml& v) { b.unhealthy = static_cast<int>(reader_.number(v, 1, 10)); }}});
      auto longest = std::max(Seconds(1), b.health_interval - Seconds(1));
      const auto* timeout = at.find("timeout");
      if (!timeout) b.health_timeout = std::min(b.health_timeout, longest);
      else if (b.health_timeout > longest)
        reader_.wrong(*timeout, fmt::format("the timeout of a health check is shorter than its interval: at most {}s with interval {}s",
                                            longest.count(), b.health_interval.count()));
    }
    if (!b.health_path.starts_with('/')) reader_.wrong(at, "the path of a health check begins with /");
  }

  void release(const Yaml& at, Service& owner) {
    auto& r = owner.release;
    reader_.map(at, {{"strategy", [&](const Yaml& v) {
                        auto word = reader_.word(v, {"blue_green", "rolling", "recreate"});
                        r.strategy = word == "blue_green" ? Strategy::BlueGreen : word == "rolling" ? Strategy::Rolling : Strategy::Recreate;
                      }},
                     {"before", [&](const Yaml& v) { r.before = before(v); }},
                     {"timeout", [&](const Yaml& v) { r.timeout = reader_.duration(v); }},
                     {"bake", [&](const Yaml& v) { r.bake = reader_.duration(v); }}});
  }

  Before before(const Yaml& at) {
    Before b;
    if (at.kind != Yaml::Kind::Map) return {.command = reader_.command(at, false)};
    reader_.map(at, {{"container", [&](const Yaml& v) { b.container = reader_.name(v); }},
                     {"command", [&](const Yaml& v) { b.command = reader_.command(v, false); }}});
    if (b.command.empty()) reader_.wrong(at, "before needs a command (before: {container: app, command: [./migrate]})");
    return b;
  }

  // Defaults that depend on the rest, and names that must exist.
  void complete(Service& s, const Yaml& at, const Yaml& key) {
    std::vector<std::string> names;
    bool has_volumes = false;
    for (const auto& c : s.containers) {
      names.push_back(c.name);
      has_volumes = has_volumes || !c.volumes.empty();
    }
    if (s.containers.empty()) return reader_.wrong(key, s.name + " has no containers");
    for (const auto& c : s.containers)
      for (const auto& d : c.depends_on)
        if (d.container == c.name || std::ranges::find(names, d.container) == names.end())
          reader_.wrong(dependency_places_.contains(c.name + "/" + d.container) ? dependency_places_[c.name + "/" + d.container] : key,
                        fmt::format("{} depends on {}, which is no other container of {} (there are: {})", c.name, d.container, s.name,
                                    join(names, ", ")));
    const auto* balancer = at.find("load_balancer");
    if (s.load_balancer) complete_balancer(s, *balancer);
    const auto* release_at = at.find("release");
    const auto* strategy = release_at ? release_at->find("strategy") : nullptr;
    if (!strategy)
      s.release.strategy = s.load_balancer ? Strategy::BlueGreen : has_volumes ? Strategy::Recreate : Strategy::Rolling;
    else if (s.release.strategy == Strategy::BlueGreen && !s.load_balancer)
      reader_.wrong(*strategy, "blue_green needs a load_balancer, whose traffic it switches (accepted here: rolling, recreate)");
    if (auto& b = s.release.before) {
      if (b->container.empty()) b->container = s.containers.front().name;
      if (std::ranges::find(names, b->container) == names.end())
        reader_.wrong(*release_at, fmt::format("before runs in {}, which is no container of {} (there are: {})", b->container, s.name,
                                               join(names, ", ")));
    }
  }

  void complete_balancer(Service& s, const Yaml& at) {
    auto& b = *s.load_balancer;
    auto serving = [&](const Container& c) {
      return (b.container.empty() || c.name == b.container) && !c.ports.empty();
    };
    auto c = std::ranges::find_if(s.containers, serving);
    if (c == s.containers.end())
      return reader_.wrong(at, fmt::format("no container {}with ports to balance to (ports: [8080])", b.container.empty() ? "" : b.container + " "));
    b.container = c->name;
    if (b.container_port == 0) b.container_port = c->ports.front();
    if (std::ranges::find(c->ports, b.container_port) == c->ports.end())
      reader_.wrong(at, fmt::format("container {} has no port {} (it has {})", c->name, b.container_port, list_of(c->ports)));
  }

  // environments: {staging: {services: {api: {replicas: 1}}}}
  void change_services(const Yaml& at) {
    std::vector<std::string> names;
    for (const auto& s : app_.services) names.push_back(s.name);
    reader_.each(at, [&](const Yaml& key, const Yaml& value) {
      auto s = std::ranges::find(app_.services, key.text, &Service::name);
      if (s == app_.services.end()) {
        auto meant = nearest(key.text, names);
        return reader_.wrong(key, fmt::format("no service {}{} (there are: {})", key.text, meant.empty() ? "" : ": did you mean " + meant + "?",
                                              join(names, ", ")));
      }
      reader_.map(value, {{"replicas", [&](const Yaml& v) { s->replicas = static_cast<int>(reader_.number(v, 0, 1000)); }},
                          {"cpu", [&](const Yaml& v) { s->cpu = reader_.number(v, 1, 262'144); }},
                          {"memory", [&](const Yaml& v) { s->memory = reader_.mebibytes(v); }},
                          {"environment", [&](const Yaml& v) {
                             for (auto& [name, text] : reader_.texts(v))
                               for (auto& c : s->containers) c.environment[name] = text;
                           }},
                          {"port", [&](const Yaml& v) {
                             if (!s->load_balancer) return reader_.wrong(v, s->name + " has no load_balancer");
                             s->load_balancer->port = static_cast<int>(reader_.number(v, 1, 65535));
                             port_places_[s->name] = v;
                           }}});
    });
  }

  // A plain name should be one of images: a typing mistake would otherwise become a missing image much later.
  void check_images() {
    std::vector<std::string> names;
    for (const auto& image : app_.images) names.push_back(image.name);
    for (const auto& s : app_.services)
      for (const auto& c : s.containers) {
        auto place = image_places_.find(s.name + "/" + c.name);
        if (place == image_places_.end() || std::ranges::find(names, c.image) != names.end()) continue;
        auto meant = c.image.find_first_of(":/@") == std::string::npos ? nearest(c.image, names) : "";
        if (!meant.empty()) reader_.wrong(place->second, fmt::format("no image {} in images: did you mean {}? (there are: {})", c.image, meant, join(names, ", ")));
      }
  }

  void check_ports() {
    std::map<int, std::string> taken;
    for (const auto& s : app_.services) {
      if (!s.load_balancer) continue;
      auto [at, added] = taken.emplace(s.load_balancer->port, s.name);
      if (!added) reader_.wrong(port_places_[s.name], fmt::format("port {} is taken by {}", s.load_balancer->port, at->second));
    }
  }

  // Depth first, so that each comes after what it depends on.
  void order_services() {
    std::vector<Service> ordered;
    std::set<std::string> done, open;
    std::vector<std::string> names;
    for (const auto& s : app_.services) names.push_back(s.name);
    std::function<void(const std::string&, const Yaml&)> visit = [&](const std::string& name, const Yaml& place) {
      if (done.contains(name)) return;
      auto s = std::ranges::find(app_.services, name, &Service::name);
      if (s == app_.services.end())
        return reader_.wrong(place, fmt::format("{} depends on {}, which is no service (there are: {})", place.text, name, join(names, ", ")));
      if (!open.insert(name).second) return reader_.wrong(place, fmt::format("{} depends on itself, through depends_on", name));
      for (const auto& other : s->depends_on) visit(other, places_[name]);
      open.erase(name);
      if (done.insert(name).second) ordered.push_back(*s);
    };
    for (const auto& name : names) visit(name, places_[name]);
    app_.services = std::move(ordered);
  }

  Reader reader_;
  App app_;
  std::map<std::string, Yaml> places_, image_places_, port_places_, dependency_places_;
};

}  // namespace

Result<App> parse_app(std::string_view text, const std::string& file, const std::filesystem::path& directory, const std::string& environment) {
  TRY(auto yaml, codec::parse_yaml(text, file));
  return Parser(file, directory, environment).parse(yaml);
}

Result<App> read_app(const std::filesystem::path& directory, const std::string& environment) {
  auto path = directory / "watari.yml";
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Code::NotFound, "no watari.yml in {}: name the application's directory, as in `watari up examples/reservations`",
                       directory.string());
  std::string text{std::istreambuf_iterator<char>(in), {}};
  auto shown = directory == "." ? "watari.yml" : path.lexically_normal().string();
  return parse_app(text, shown, directory, environment);
}

}  // namespace watari::cli::up
