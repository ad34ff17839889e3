#pragma once
// A deployment as CodeDeploy shows it. One model::Deployment gives one view, and a second one once it goes back: the rollback
// deployment. Those that the ECS API made of a service that a deployment group names are seen as well.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aws/codedeploy/wire.h"

namespace watari::aws::codedeploy {

struct View {
  const model::Deployment* deployment;  // valid until the next write to the state
  bool rollback = false;                // the way back of `deployment`
  std::string id, application, group;   // id: d-XXXXXXXXX
};

std::vector<View> views_of(const Call& call);  // oldest first
// DeploymentDoesNotExistException, InvalidDeploymentIdException.
Result<View> find_view(const Call& call, const std::string& id);
Result<void> check_deployment_id(const std::string& id);

std::string_view status_of(const View& view, const Call& call);
bool finished(const View& view, const Call& call);
Time created_at(const View& view);
std::optional<Time> started_at(const View& view);
std::optional<Time> finished_at(const View& view);
bool goes_back(const model::Deployment& deployment);  // and the rollback is a deployment of its own
bool waits_for_rerouting(const model::Deployment& deployment);  // Ready

// What it deploys: its AppSpec; one in the same words for what no AppSpec was given for.
RevisionLocation revision_of(const Call& call, const View& view);
std::optional<RevisionLocation> previous_revision_of(const Call& call, const View& view);

}  // namespace watari::aws::codedeploy
