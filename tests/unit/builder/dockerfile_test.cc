#include "builder/dockerfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace watari::builder {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Dockerfile parsed(std::string_view text) {
  auto result = parse_dockerfile(text);
  EXPECT_TRUE(result) << (result ? "" : result.error().message);
  return result ? *result : Dockerfile{.stages = std::vector<Stage>(1)};
}
std::string refused(std::string_view text) {
  auto result = parse_dockerfile(text);
  EXPECT_FALSE(result);
  return result ? "" : result.error().message;
}
Instruction first(std::string_view line) {
  auto file = parsed("FROM scratch\n" + std::string(line));
  return file.stages[0].instructions.empty() ? Instruction{} : file.stages[0].instructions[0];
}

TEST(Dockerfile, KnowsStagesTheirNamesAndGlobalArguments) {
  auto file = parsed("ARG V=1\nFROM --platform=linux/amd64 debian:$V AS Build\nRUN make\nFROM scratch\nCOPY --from=build /a /b\n");
  ASSERT_EQ(file.stages.size(), 2u);
  EXPECT_EQ(file.global_args.size(), 1u);
  EXPECT_EQ(file.stages[0].name, "build");
  EXPECT_EQ(file.stages[0].base, "debian:$V");
  EXPECT_EQ(file.stages[0].platform, "linux/amd64");
  EXPECT_EQ(file.stages[1].instructions[0].flag("from")->value, "build");
}

TEST(Dockerfile, JoinsContinuedLinesAndSkipsCommentsBetweenThem) {
  auto run = first("RUN one && \\\n  # why\n\n  two \\  \n  three");
  EXPECT_EQ(run.text, "one &&   two   three");
  EXPECT_EQ(run.line, 2);
}

TEST(Dockerfile, LetsTheEscapeDirectiveChangeTheContinuation) {
  auto file = parsed("# escape=`\nFROM scratch\nRUN a `\n b\nENV P=c:\\x");
  EXPECT_EQ(file.stages[0].instructions[0].text, "a  b");
  EXPECT_EQ(file.stages[0].instructions[1].words[0], "P=c:\\x");
  EXPECT_THAT(refused("# escape=x\nFROM a"), HasSubstr("the escape character is"));
}

TEST(Dockerfile, NotesTheSyntaxDirectiveAndIgnoresItAfterAComment) {
  EXPECT_EQ(parsed("# syntax=docker/dockerfile:1\nFROM scratch").notes.size(), 1u);
  EXPECT_EQ(parsed("# hello\n# syntax=docker/dockerfile:1\nFROM scratch").notes.size(), 0u);
}

TEST(Dockerfile, ReadsTheCheckDirective) {
  auto check = parsed("# check=skip=StageNameCasing, UndefinedVar;error=true;experimental=all\nFROM scratch").check;
  EXPECT_EQ(check.skip, (std::set<std::string>{"StageNameCasing", "UndefinedVar"}));
  EXPECT_TRUE(check.error);
  EXPECT_EQ(check.experimental, std::set<std::string>{"all"});
}

TEST(Dockerfile, KeepsHereDocumentsInTriggers) {
  EXPECT_EQ(first("ONBUILD COPY <<A /a\nx\nA\n").text, "COPY <<A /a\nx\nA");
}

TEST(Dockerfile, ReadsJsonArraysAsTheExecForm) {
  auto cmd = first(R"(CMD ["a b", "\"c\""])");
  EXPECT_TRUE(cmd.exec_form);
  EXPECT_THAT(cmd.words, ElementsAre("a b", "\"c\""));
  EXPECT_FALSE(first("CMD ['a']").exec_form);
  EXPECT_FALSE(first("RUN [ -f /x ]").exec_form);
  EXPECT_THAT(first(R"(COPY ["a b", "/c d/"])").words, ElementsAre("a b", "/c d/"));
}

TEST(Dockerfile, ReadsHereDocuments) {
  auto run = first("RUN <<EOF\na\n  b\nEOF\n");
  ASSERT_EQ(run.heredocs.size(), 1u);
  EXPECT_EQ(run.heredocs[0].content, "a\n  b\n");
  auto copy = first("COPY <<-\"one.txt\" <<two /d/\n\t$x\none.txt\ny\ntwo\n");
  ASSERT_EQ(copy.heredocs.size(), 2u);
  EXPECT_EQ(copy.heredocs[0].name, "one.txt");
  EXPECT_EQ(copy.heredocs[0].content, "$x\n");
  EXPECT_FALSE(copy.heredocs[0].expand);
  EXPECT_TRUE(copy.heredocs[1].expand);
  EXPECT_THAT(refused("FROM a\nRUN <<EOF\nx"), HasSubstr("Dockerfile:2: the here-document <<EOF has no end"));
}

TEST(Dockerfile, DoesNotTakeAShellHereStringForAHereDocument) {
  EXPECT_TRUE(first("RUN cat <<<word").heredocs.empty());
}

TEST(Dockerfile, ReadsPairsInBothForms) {
  auto pairs = pairs_of(first("ENV A=1 B=\"x y\" C=a\\ b"));
  ASSERT_EQ(pairs.size(), 3u);
  EXPECT_EQ(pairs[1].second, "\"x y\"");
  EXPECT_EQ(pairs[2].second, "a\\ b");
  auto old = pairs_of(first("ENV GREETING hello big world"));
  ASSERT_EQ(old.size(), 1u);
  EXPECT_EQ(old[0].second, "hello big world");
  EXPECT_FALSE(pairs_of(first("ARG X")).at(0).second);
}

TEST(Dockerfile, RefusesWithPlaceLineAndWhatWasExpected) {
  auto message = refused("FROM a\n\nRUNN make");
  EXPECT_THAT(message, HasSubstr("Dockerfile:3: unknown instruction RUNN (did you mean RUN?); expected one of FROM, ARG"));
  EXPECT_THAT(message, HasSubstr("3 | RUNN make"));
  EXPECT_THAT(refused("RUN x"), HasSubstr("RUN before the first FROM; expected FROM or ARG"));
  EXPECT_THAT(refused(""), HasSubstr("no FROM"));
  EXPECT_THAT(refused("FROM"), HasSubstr("nothing follows it; expected FROM"));
  EXPECT_THAT(refused("FROM a b"), HasSubstr("expected FROM"));
  EXPECT_THAT(refused("FROM a AS 1x"), HasSubstr("no stage name"));
  EXPECT_THAT(refused("# check=skpi=all\nFROM a"), HasSubstr("Dockerfile:1: check: `skpi=all` is not known; expected skip=Rule"));
  EXPECT_THAT(refused("FROM a\nCOPY x"), HasSubstr("too few arguments; expected COPY"));
  EXPECT_THAT(refused("FROM a\nCOPY --form=b x y"), HasSubstr("unknown flag --form (did you mean --from?)"));
  EXPECT_THAT(refused("FROM a\nCOPY --link=maybe x y"), HasSubstr("--link=maybe is neither true nor false"));
  EXPECT_THAT(refused("FROM a\nCOPY --exclude x y"), HasSubstr("--exclude has no value"));
  EXPECT_THAT(refused("FROM a\nCOPY --chown=1 --chown=2 x y"), HasSubstr("--chown is given twice"));
  EXPECT_THAT(refused("FROM a\nCMD [\"a\", 1]"), HasSubstr("takes strings only"));
  EXPECT_THAT(refused("FROM a\nSHELL sh -c"), HasSubstr("not a JSON array"));
  EXPECT_THAT(refused("FROM a\nENV A"), HasSubstr("no value"));
  EXPECT_THAT(refused("FROM a\nENV A=1 b"), HasSubstr("`b` has no value"));
  EXPECT_THAT(refused("FROM a\nHEALTHCHECK curl"), HasSubstr("neither CMD nor NONE"));
  EXPECT_THAT(refused("FROM a\nONBUILD FROM b"), HasSubstr("FROM cannot be a trigger"));
  EXPECT_THAT(refused("FROM a\nONBUILD COPY b"), HasSubstr("too few arguments"));
  EXPECT_THAT(refused("FROM a\nUSER a b"), HasSubstr("too many arguments"));
}

TEST(Dockerfile, RecognisesEveryInstruction) {
  auto file = parsed(
      "FROM a\nARG A\nENV A=1\nLABEL a=b\nCOPY a b\nADD a b\nRUN a\nCMD a\nENTRYPOINT a\nWORKDIR /a\nUSER u\nEXPOSE 80/tcp 81\n"
      "VOLUME /v /w\nHEALTHCHECK --interval=5s CMD curl x\nSTOPSIGNAL SIGQUIT\nSHELL [\"a\"]\nONBUILD RUN x\nMAINTAINER me\n");
  EXPECT_EQ(file.stages[0].instructions.size(), 17u);
}

TEST(Dockerfile, SurvivesWindowsLineEndsAndAByteOrderMark) {
  EXPECT_EQ(parsed("\xEF\xBB\xBF" "FROM a\r\nRUN x \\\r\n y\r\n").stages[0].instructions[0].text, "x  y");
  auto copy = first("COPY <<E /f\r\nline\r\nE\r\nRUN x\r\n");
  ASSERT_EQ(copy.heredocs.size(), 1u);
  EXPECT_EQ(copy.heredocs[0].content, "line\r\n") << "BuildKit keeps them there";
}

TEST(Dockerfile, TakesQuotesFromFlagsAndEndsThemAtTwoDashes) {
  auto run = first("RUN --mount=\"type=tmpfs,target=/a b\" -- --not-a-flag");
  EXPECT_EQ(run.flag("mount")->value, "type=tmpfs,target=/a b");
  EXPECT_EQ(run.text, "--not-a-flag");
}

}  // namespace
}  // namespace watari::builder
