#pragma once
// `watari-shim init PROGRAM ARG…`: process 1 of a container whose task definition sets initProcessEnabled. Starts the program,
// passes signals on to it, reaps orphans, and ends as the program ends.
namespace watari::shim {

int run_as_init(char** argv);

}  // namespace watari::shim
