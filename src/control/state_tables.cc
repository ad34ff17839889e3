#include "control/state.h"
#include "store/table_code.h"

// The code of all tables of the state, made once.
namespace watari {

template class store::Table<model::Cluster>;
template class store::Table<control::Family>;
template class store::Table<model::TaskDefinition>;
template class store::Table<model::Service>;
template class store::Table<model::Deployment>;
template class store::Table<model::Task>;
template class store::Table<model::Alarm>;
template class store::Table<model::AlarmEvent>;
template class store::Table<model::Function>;
template class store::Table<model::CodeDeployApplication>;
template class store::Table<model::CodeDeployGroup>;
template class store::Table<model::CodeDeployConfig>;
template class store::Table<model::CodeDeployRevision>;
template class store::Table<model::LoadBalancer>;
template class store::Table<model::Listener>;
template class store::Table<model::Rule>;
template class store::Table<model::TargetGroup>;
template class store::Table<model::Target>;
template class store::Table<model::Certificate>;
template class store::Table<model::Vpc>;
template class store::Table<model::Subnet>;
template class store::Table<model::SecurityGroup>;
template class store::Table<model::NetworkInterface>;
template class store::Table<control::Region>;
template class store::Table<model::Role>;
template class store::Table<model::ScalableTarget>;

}  // namespace watari
