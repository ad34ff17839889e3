#include "builder/builder.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/strings.h"
#include "builder/base_image.h"
#include "builder/build_record.h"
#include "builder/cache_mounts.h"
#include "builder/contexts.h"
#include "builder/executor.h"
#include "builder/lint.h"
#include "builder/provenance.h"
#include "oci/reference.h"
#include "sys/files.h"

namespace watari::builder {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeptBuilds = 200;
constexpr int kWaiting = 2;  // callers of get(); the API's handlers have four threads

struct BuildInputs {
  std::vector<Context> contexts;  // the build's own first
  NamedContexts named;
};

// Source: https://reproducible-builds.org/specs/source-date-epoch/
Result<std::optional<std::int64_t>> epoch_of(const Variables& args) {
  auto given = args.find("SOURCE_DATE_EPOCH");
  if (given == args.end() || given->second.empty()) return std::nullopt;
  auto seconds = parse_number<std::int64_t>(given->second);
  if (!seconds || *seconds < 0) return fail(Code::InvalidArgument, "SOURCE_DATE_EPOCH={} is no number of seconds since 1970", given->second);
  return seconds;
}

class BuilderImpl final : public Builder {
 public:
  BuilderImpl(BuilderOptions options, oci::ImageStore& images, std::unique_ptr<Contexts> contexts, StepCache cache)
      : options_(std::move(options)), images_(images), contexts_(std::move(contexts)), cache_(std::move(cache)) {}
  ~BuilderImpl() override {
    for (auto& [id, running] : running_) running.record->stop_signal().stop();
    running_.clear();  // joins them
    flush_caches();
  }

  Result<std::string> add_context(const Read& read) override { return contexts_->add(read); }
  Result<ContextOffer> offer_context(const Read& read) override { return offered(contexts_->offer(read)); }
  Result<ContextOffer> supply_context(const std::string& id, const Read& read) override { return offered(contexts_->supply(id, read)); }
  Result<std::string> find_context(const std::string& sha256) override {
    return contexts_->promise(sha256);
  }
  Result<void> export_caches(const Write& write) override { return export_cache_mounts(cache_mounts(), write); }
  Result<std::vector<std::string>> import_caches(const Read& read) override { return import_cache_mounts(cache_mounts(), read); }
  Collected collect_cache(const CacheLimits& limits) override {
    const auto has_layer = [this](const std::string& diff_id) { return images_.content().size(diff_id).has_value(); };
    const auto now = SystemClock().now();
    auto mounts = collect_cache_mounts(cache_mounts(), work(), limits, now);
    flush_caches();
    return {cache_.collect({.age = limits.age, .now = now, .dry_run = limits.dry_run, .has_layer = has_layer}), std::move(mounts.ids), mounts.bytes};
  }
  Result<std::string> start(BuildRequest request) override;
  Result<std::string> start_base(BaseRequest request) override;
  Result<BuildReport> get(const std::string& build_id, std::int64_t log_position, Millis wait) override;
  Result<void> stop(const std::string& build_id) override;

  fs::path records() const { return options_.root / "builds" / "records"; }
  fs::path cache_mounts() const { return options_.root / "images" / "cache-mounts"; }
  fs::path work() const { return options_.root / "builds" / "work"; }

 private:
  static Result<ContextOffer> offered(Result<Contexts::Offer> offer) {
    return offer.map([](Contexts::Offer& each) { return ContextOffer{std::move(each.id), std::move(each.missing)}; });
  }
  using Work = std::function<Result<oci::Image>(BuildRecord&, const fs::path& scratch)>;
  struct Running {
    std::shared_ptr<BuildRecord> record;
    std::jthread thread;
  };
  Result<std::string> launch(std::shared_ptr<BuildRecord> record, Work work);
  Result<BuildInputs> find_inputs(const BuildRequest& request);
  Result<oci::Image> build(BuildRecord& record, const fs::path& scratch, const BuildRequest& request, const BuildInputs& inputs);
  void forget_finished();
  void drop_old_records();
  void flush_caches() {
    if (auto flushed = flush_cache_mounts(cache_mounts()); !flushed) log::warn("{}", flushed.error().message);
  }

  BuilderOptions options_;
  oci::ImageStore& images_;
  std::unique_ptr<Contexts> contexts_;
  StepCache cache_;
  ImagePackages packages_{images_};
  std::atomic<int> waiting_ = 0;
  std::mutex mutex_;
  std::vector<std::string> finished_;
  std::map<std::string, Running> running_;  // last: its threads use the others until they are joined
};

Result<std::string> BuilderImpl::launch(std::shared_ptr<BuildRecord> record, Work work_to_do) {
  auto scratch = work() / record->id();  // made when something needs it
  std::lock_guard lock(mutex_);
  forget_finished();
  drop_old_records();
  auto id = record->id();
  auto run = [this, record, scratch, work_to_do = std::move(work_to_do)] {
    record->finish(work_to_do(*record, scratch));
    if (auto removed = sys::remove_tree(scratch); !removed) log::warn("build {}: {}", record->id(), removed.error().message);
    contexts_->sweep();
    std::lock_guard finished_lock(mutex_);
    finished_.push_back(record->id());
  };
  running_.emplace(id, Running{record, std::jthread(std::move(run))});
  return id;
}

// Finished builds are read from disk; their threads are joined here, by whoever comes next.
void BuilderImpl::forget_finished() {
  for (const auto& id : finished_) running_.erase(id);
  finished_.clear();
}

void BuilderImpl::drop_old_records() {
  std::vector<std::pair<fs::file_time_type, fs::path>> all;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(records(), ignored)) all.emplace_back(entry.last_write_time(ignored), entry.path());
  if (all.size() <= kKeptBuilds) return;
  std::ranges::sort(all);
  for (std::size_t i = 0; i < all.size() - kKeptBuilds; ++i)
    if (!running_.contains(all[i].second.filename())) fs::remove_all(all[i].second, ignored);
}

// "docker-image://web:1" and "image:web:1" name images; anything else is the id of a context.
Result<BuildInputs> BuilderImpl::find_inputs(const BuildRequest& request) {
  BuildInputs inputs;
  TRY(auto own, contexts_->find(request.context_id));
  inputs.contexts.push_back(std::move(own));
  for (const auto& [name, value] : request.contexts) {
    NamedContext named;
    if (value.starts_with("image:")) {
      named.image = value.substr(6);
    } else {
      TRY(auto context, contexts_->find(value));
      named.directory = context.files;
      inputs.contexts.push_back(std::move(context));
    }
    inputs.named[to_lower(name)] = std::move(named);
  }
  return inputs;
}

Result<std::string> BuilderImpl::start(BuildRequest request) {
  for (const auto& tag : request.tags) {
    TRY(auto reference, oci::parse_reference(tag));
    if (!reference.digest.empty()) return fail(Code::InvalidArgument, "`{}` names a digest; expected name:tag", tag);
  }
  TRY(auto inputs, find_inputs(request));
  request.context_id = Contexts::id_of(request.context_id);
  TRY(auto record, BuildRecord::create(records(), request.tags));
  return launch(record, [this, request = std::move(request), inputs](BuildRecord& each, const fs::path& scratch) {
    return build(each, scratch, request, inputs);
  });
}

// The passes of a build.
Result<oci::Image> BuilderImpl::build(BuildRecord& record, const fs::path& scratch, const BuildRequest& request, const BuildInputs& inputs) {
  const auto& context = inputs.contexts[0].files;
  auto text = request.dockerfile_text ? request.dockerfile_text : read_in_root(context, request.dockerfile);
  if (!text) return fail(Code::NotFound, "no {} in the build context; name another with -f", request.dockerfile);
  TRY(auto dockerfile, parse_dockerfile(*text, request.dockerfile));
  auto plan = make_plan(dockerfile, request.target, request.build_args, inputs.named, images_);
  auto ignored = read_in_root(context, ".dockerignore");
  TRY(auto warnings, lint(dockerfile, plan ? &*plan : nullptr, ignored.value_or("")));
  record.set_warnings(warnings);
  if (!plan) return fail(plan.error());
  if (dockerfile.check.error && !warnings.empty())
    return fail(Code::InvalidArgument, "{}: {} warnings, and `# check=error=true` makes them errors", request.dockerfile, warnings.size());
  if (request.check) return oci::Image{};
  record.set_steps(steps_of(*plan));
  for (const auto& note : plan->notes) record.line(0, note);
  TRY(auto epoch, epoch_of(request.build_args));
  BuildGroup group(options_.group + record.id(), request.limits);
  BuildSecrets secrets{request.secrets, request.agents, request.docker_host, request.docker_config};
  Materials materials;
  ExecutorOptions options{.contexts = inputs.contexts, .scratch = scratch, .cache_mounts = cache_mounts(),
                          .secrets = secrets, .materials = materials, .epoch = epoch, .group = group,
                          .name = request.tags.empty() ? "" : split(request.tags[0], ':')[0], .runtime = options_.runtime,
                          .parallel = options_.parallel, .no_cache = request.no_cache};
  TRY(auto image, execute(*plan, images_, cache_, record.stop_signal(), record, options));
  const BuildFacts facts{.build_id = record.id(), .started_at = record.report().started_at, .ended_at = SystemClock().now(), .request = request,
                         .context = inputs.contexts[0], .dockerfile = *text, .plan = *plan, .materials = materials};
  TRY_VOID(record_origin(images_, packages_, image, facts));
  for (const auto& tag : request.tags) {
    TRY(auto reference, oci::parse_reference(tag));
    TRY_VOID(images_.tag(reference.repository, reference.tag, image.digest));
  }
  return image;
}

Result<std::string> BuilderImpl::start_base(BaseRequest request) {
  if (request.from != "debian" && request.from != "busybox")
    return fail(Code::InvalidArgument, "a base cannot be made from `{}`; expected debian or busybox", request.from);
  TRY(auto record, BuildRecord::create(records(), {base_tag(request)}));
  record->set_steps({Step{1, request.name, "base " + base_tag(request) + " from " + request.from, 0, StepStatus::Waiting, 0, ""}});
  return launch(record, [this, request](BuildRecord& each, const fs::path& scratch) -> Result<oci::Image> {
    TRY_VOID(own_mounts());
    TRY_VOID(sys::make_directories(scratch));
    each.step_started(1);
    auto on_line = [&](std::string_view line) { each.line(1, line); };
    auto image = request.from == "busybox" ? make_busybox_base(request, images_, each.stop_signal(), on_line)
                                           : make_debian_base(request, images_, scratch, each.stop_signal(), on_line);
    each.step_ended(1, image ? StepStatus::Done : StepStatus::Failed, image ? "" : image.error().message);
    return image;
  });
}

Result<BuildReport> BuilderImpl::get(const std::string& build_id, std::int64_t log_position, Millis wait) {
  bool well_formed = build_id.size() == 16 && build_id.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!well_formed) return fail(Code::NotFound, "no build {} here", build_id);
  std::shared_ptr<BuildRecord> live;
  {
    std::lock_guard lock(mutex_);
    if (auto found = running_.find(build_id); found != running_.end()) live = found->second.record;
  }
  if (live && wait > Millis(0)) {
    if (++waiting_ <= kWaiting) live->wait(log_position, wait);
    --waiting_;
  }
  // The report first: lines written until then are complete when it says that the build has ended.
  auto report = live ? Result<BuildReport>(live->report()) : load_report(records() / build_id);
  if (!report) return report;
  TRY_VOID(load_lines(records() / build_id, std::max<std::int64_t>(log_position, 0), *report));
  return report;
}

Result<void> BuilderImpl::stop(const std::string& build_id) {
  std::lock_guard lock(mutex_);
  if (auto found = running_.find(build_id); found != running_.end()) {
    found->second.record->stop_by_user();
    return {};
  }
  return load_report(records() / build_id).map([](const BuildReport&) {});
}

// What a killed server left: scratch directories, and builds that will never end.
Result<void> sweep(const BuilderImpl& builder) {
  TRY_VOID(sys::remove_tree(builder.work()));
  TRY_VOID(sys::remove_tree(builder.work().parent_path() / "skeletons"));
  TRY_VOID(sys::make_directories(builder.work()));
  TRY_VOID(sys::make_directories(builder.records()));
  for (const auto& entry : fs::directory_iterator(builder.records())) {
    auto report = load_report(entry.path());
    if (!report || report->status != BuildStatus::Running) continue;
    report->status = BuildStatus::Failed;
    report->error = "the server ended while this build ran; start it again, finished steps are in the cache";
    report->ended_at = SystemClock().now();
    TRY_VOID(save_report(entry.path(), *report));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Builder>> Builder::open(BuilderOptions options, oci::ImageStore& images) {
  auto root = options.root;
  TRY_VOID(sys::make_directories(root / "builds"));
  TRY(auto contexts, Contexts::open(root / "builds" / "contexts"));
  TRY(auto cache, StepCache::open(root / "images" / "cache"));
  BuildGroup::sweep(options.group);
  auto builder = std::make_unique<BuilderImpl>(std::move(options), images, std::move(contexts), std::move(cache));
  TRY_VOID(sweep(*builder));
  sweep_cache_mounts(builder->cache_mounts());
  return builder;
}

}  // namespace watari::builder
