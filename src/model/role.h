#pragma once
// IAM roles as they are kept: names that task definitions and AssumeRole refer to. Their policies are stored and shown, not
// enforced (docs/clients.md says so to users): there is one user here, root, and a session of a role may do what root may.
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

struct Role {
  std::string account;
  std::string name, path = "/";
  std::string id;            // AROA…
  std::string trust_policy;  // JSON, as given
  std::string description;
  int max_session_seconds = 3600;
  std::vector<std::string> attached_policies;          // ARNs
  std::map<std::string, std::string> inline_policies;  // name -> JSON
  std::vector<Tag> tags;
  Time created_at{};
  std::string arn() const { return "arn:aws:iam::" + account + ":role" + path + name; }
  WATARI_FIELDS(Role, account, name, path, id, trust_policy, description, max_session_seconds, attached_policies, inline_policies,
                tags, created_at)
};

}  // namespace watari::model
