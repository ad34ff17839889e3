#pragma once
// How many tasks a service may have: Application Auto Scaling's scalable targets.
// Source: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_ScalableTarget.html
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

struct ScalingActivity {
  std::string id, cause, description;
  Time at{};
  WATARI_FIELDS(ScalingActivity, id, cause, description, at)
};

struct ScalableTarget {
  Scope scope;
  std::string cluster, service;
  std::string arn, role;
  int min = 0, max = 0;
  bool in_suspended = false, out_suspended = false, scheduled_suspended = false;
  std::vector<Tag> tags;
  std::vector<ScalingActivity> activities;  // newest first, at most 50
  Time created_at{};
  WATARI_FIELDS(ScalableTarget, scope, cluster, service, arn, role, min, max, in_suspended, out_suspended, scheduled_suspended, tags,
                activities, created_at)
};

}  // namespace watari::model
