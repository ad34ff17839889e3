#include "builder/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace watari::builder {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "rule:line message" of every warning.
std::vector<std::string> warnings(std::string_view text, std::string_view ignored = "") {
  auto file = parse_dockerfile(text);
  EXPECT_TRUE(file) << (file ? "" : file.error().message);
  std::vector<std::string> out;
  for (const auto& each : *lint(*file, nullptr, ignored)) out.push_back(fmt::format("{}:{} {}", each.rule, each.line, each.message));
  return out;
}

TEST(Lint, IsSilentAboutAGoodFile) {
  EXPECT_THAT(warnings("ARG BASE=debian:12\nFROM $BASE AS build\nARG V=1\nWORKDIR /src\nCOPY . .\nRUN make $X $V\nFROM scratch\n"
                       "COPY --from=build /src/v /\nUSER 1\nEXPOSE 80\nCMD [\"/a\"]\n"), IsEmpty());
}

TEST(Lint, LooksAtCasing) {
  EXPECT_THAT(warnings("FROM a AS Build\nFROM b as c\nfrom d AS e\nrun x\nRUN y\nRuN z\n"),
              ElementsAre("StageNameCasing:1 Stage name 'Build' should be lowercase", "FromAsCasing:2 'as' and 'FROM' keywords' casing do not match",
                          "ConsistentInstructionCasing:3 Command 'from' should match the case of the command majority (uppercase)",
                          "FromAsCasing:3 'AS' and 'from' keywords' casing do not match",
                          "ConsistentInstructionCasing:4 Command 'run' should match the case of the command majority (uppercase)",
                          "ConsistentInstructionCasing:6 Command 'RuN' should match the case of the command majority (uppercase)"));
}

TEST(Lint, LooksAtStages) {
  EXPECT_THAT(warnings("ARG TAG\nARG NAME=x\nFROM a:$TAG AS scratch\nFROM b AS c\nFROM b AS c\nFROM $NAMES\nFROM --platform=linux/amd64 d\n"
                       "FROM --platform=$TARGETPLATFORM d\n"),
              ElementsAre("InvalidDefaultArgInFrom:3 Default value for ARG a:$TAG results in empty or invalid base image name",
                          "ReservedStageName:3 Stage name should not use the same name as reserved stage \"scratch\"",
                          "DuplicateStageName:5 Duplicate stage name \"c\", stage names should be unique",
                          "InvalidDefaultArgInFrom:6 Default value for ARG $NAMES results in empty or invalid base image name",
                          "UndefinedArgInFrom:6 FROM argument 'NAMES' is not declared (did you mean NAME?)",
                          "FromPlatformFlagConstDisallowed:7 FROM --platform flag should not use constant value \"linux/amd64\"",
                          "RedundantTargetPlatform:8 Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"));
}

TEST(Lint, LooksAtInstructions) {
  EXPECT_THAT(warnings("FROM a\nMAINTAINER me\nENV A b\nENV API_TOKEN=x PUBLIC_KEY=y\nWORKDIR app\nCMD a\nCMD [\"b\"]\nEXPOSE 80/TCP 127.0.0.1:80:80\n"
                       "COPY $missing/x /\nRUN a \\\n\n b\n"),
              ElementsAre("MaintainerDeprecated:2 Maintainer instruction is deprecated in favor of using label",
                          "LegacyKeyValueFormat:3 \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
                          "SecretsUsedInArgOrEnv:4 Do not use ARG or ENV instructions for sensitive data (ENV \"API_TOKEN\")",
                          "WorkdirRelativePath:5 Relative workdir \"app\" can have unexpected results if the base image changes",
                          "JSONArgsRecommended:6 JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
                          "MultipleInstructionsDisallowed:6 Multiple CMD instructions should not be used in the same stage because only the last one will be used",
                          "ExposeInvalidFormat:8 EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
                          "ExposeProtoCasing:8 Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
                          "UndefinedVar:9 Usage of undefined variable '$missing'", "NoEmptyContinuation:12 Empty continuation line"));
}

TEST(Lint, KnowsWhatTheIgnoreFileLeavesOut) {
  EXPECT_THAT(warnings("# check=experimental=CopyIgnoredFile\nFROM a\nCOPY ./secret/x y /\n", "secret\n"),
              ElementsAre("CopyIgnoredFile:3 Attempting to Copy file \"secret/x\" that is excluded by .dockerignore"));
  EXPECT_THAT(warnings("# check=experimental=all\nFROM a\nCOPY secret/x /\n", "secret\n!secret/x\n"), IsEmpty());
  EXPECT_THAT(warnings("FROM a\nCOPY secret/x /\n", "secret\n"), IsEmpty()) << "a rule on trial that was not asked for";
}

TEST(Lint, AsksForOneDescriptionOfSeveralArguments) {
  EXPECT_THAT(warnings("# check=experimental=all\nFROM a\n# c is one of them\nARG b=1 c=2\n# neither\nARG d e\n"),
              ElementsAre("InvalidDefinitionDescription:6 Comment for ARG should follow the format: `# <arg_key> <description>`"));
}

TEST(Lint, RemembersWhatTheStagesBelowHaveSet) {
  EXPECT_THAT(warnings("FROM a AS b\nSHELL [\"/bin/sh\", \"-c\"]\nWORKDIR /x\nARG V\nFROM b\nWORKDIR y\nCMD z $W\nENV W=$V\nARG X=1 Y=$X\n"), IsEmpty());
}

TEST(Lint, DoesNotSkipRulesOnTrial) {
  EXPECT_EQ(warnings("# check=skip=all;experimental=all\nFROM a\n# nonsense\nARG b\nCMD x\n").size(), 1u);
  EXPECT_THAT(warnings("# check=error=1;skip=all\nFROM a\nCMD x\n"), IsEmpty());
}

TEST(Lint, SkipsWhatTheDirectiveNames) {
  EXPECT_THAT(warnings("# check=skip=StageNameCasing\nFROM a AS B\nCMD x\n").size(), 1u);
  EXPECT_THAT(warnings("# check=skip=all\nFROM a AS B\nCMD x\n"), IsEmpty());
  EXPECT_THAT(warnings("# check=experimental=all\n# nonsense\nFROM a AS b\n"),
              ElementsAre("InvalidDefinitionDescription:3 Comment for FROM should follow the format: `# b <description>`"));
}

}  // namespace
}  // namespace watari::builder
