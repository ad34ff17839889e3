# Headers of others (the standard library, fmt, CLI11, GoogleTest) are parsed once, not in each of hundreds of files: half of what most files
# cost. Only headers of others: a change of one of ours rebuilds the files that include it and no more, every build proves that each file
# includes what it needs of ours, and the precompiled file is the same in every directory, so that ccache shares objects between
# clones. With WATARI_PRECOMPILED=OFF (preset sanitize) the build proves the includes of others as well.
option(WATARI_PRECOMPILED "Parse the headers of cmake/precompiled once (clang)" ON)
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(WATARI_PRECOMPILED OFF)
endif()

# watari_precompiled(NAME HEADERS names in cmake/precompiled... [OPTIONS more options...]): makes pch/NAME.pch for watari_use_precompiled. The
# compiler reads from its standard input and runs in /, because it notes the path of what it compiles; -fno-pch-timestamp for the same reason.
function(watari_precompiled name)
  if(NOT WATARI_PRECOMPILED)
    return()
  endif()
  cmake_parse_arguments(P "" "" "HEADERS;OPTIONS" ${ARGN})
  list(TRANSFORM P_HEADERS PREPEND ${CMAKE_SOURCE_DIR}/cmake/precompiled/)
  get_directory_property(options DIRECTORY ${CMAKE_SOURCE_DIR} COMPILE_OPTIONS)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  list(JOIN P_HEADERS " " headers)
  list(JOIN options " " options)
  list(JOIN P_OPTIONS " " more)
  set(file ${CMAKE_BINARY_DIR}/pch/${name}.pch)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/pch)
  set(compile "${CMAKE_CXX_COMPILER} ${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}} ${options} ${more} ${CMAKE_CXX23_STANDARD_COMPILE_OPTION}")
  add_custom_command(OUTPUT ${file} DEPENDS ${P_HEADERS} DEPFILE ${file}.d WORKING_DIRECTORY / VERBATIM COMMENT "Precompiling headers: ${name}"
    COMMAND sh -c "cat ${headers} | ${compile} -fpch-instantiate-templates -Xclang -fno-pch-timestamp -MD -MT ${file} -MF ${file}.d -x c++-header - -o ${file}")
  add_custom_target(watari_precompiled_${name} DEPENDS ${file})
endfunction()

# The sources of `target` (of the calling directory) are compiled with pch/NAME.pch.
function(watari_use_precompiled target name)
  if(NOT WATARI_PRECOMPILED)
    return()
  endif()
  set(file ${CMAKE_BINARY_DIR}/pch/${name}.pch)
  get_target_property(sources ${target} SOURCES)
  set_property(SOURCE ${sources} APPEND PROPERTY OBJECT_DEPENDS ${file})
  target_compile_options(${target} PRIVATE "SHELL:-include-pch ${file}")
  add_dependencies(${target} watari_precompiled_${name})
endfunction()

watari_precompiled(standard HEADERS standard.h OPTIONS -DFMT_SHARED)
