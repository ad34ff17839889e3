#pragma once
// Finding services, tasks and their logs by the names that people type.
#include <optional>
#include <string>
#include <vector>

#include "cli/client.h"

namespace watari::cli {

// Clusters by name, in the order of the API.
Result<std::vector<std::string>> cluster_names(Client& client);
// All active services of a cluster as DescribeServices gives them.
Result<codec::Json> describe_services(Client& client, const std::string& cluster);
// Running tasks of a cluster, or (stopped) the stopped ones, as DescribeTasks gives them; of one service when it is not empty.
Result<codec::Json> describe_tasks(Client& client, const std::string& cluster, const std::string& service, bool stopped);

// One service or task, found by its name, the end of its name ("api" for "shop-staging-api"), or the beginning of its id.
struct Found {
  std::string cluster;
  std::string service;          // name; empty for a task
  codec::Json task;             // DescribeTasks; null for a service
  std::string task_definition;  // ARN
};
// NotFound lists what there is; Conflict when more than one matches.
Result<Found> find_by_name(Client& client, const std::string& name, const std::string& cluster = "");

// Where a task definition's containers log.
struct LogPlace {
  std::string container, group, prefix;  // streams are called <prefix>/<container>/<task id>
};
Result<std::vector<LogPlace>> log_places(Client& client, const std::string& task_definition);

struct LogEvent {
  std::int64_t at = 0;  // milliseconds since the epoch
  std::string id, container, task, message;
};
// Events of these containers from `since` on (milliseconds), oldest first; of one task when `task` is not empty.
Result<std::vector<LogEvent>> read_logs(Client& client, const std::vector<LogPlace>& places, const std::string& task, std::int64_t since);

}  // namespace watari::cli
