# Flags for all targets. Hardening belongs to release builds; sanitizers come from WATARI_SANITIZE.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
                    -Wextra-semi -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # Designated initialisers that name only what differs from the defaults are how options are passed here.
  add_compile_options(-Wno-missing-field-initializers -Wno-missing-designated-field-initializers)
  add_link_options(-fuse-ld=lld)
endif()
if(WATARI_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  add_compile_options(-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
if(WATARI_SANITIZE)
  add_compile_options(-fsanitize=${WATARI_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${WATARI_SANITIZE})
endif()
find_program(CCACHE ccache)
if(CCACHE)
  # Depend mode: a file is compiled, not preprocessed first and then compiled. The sloppiness is what ccache asks for before it stores what was
  # compiled with a precompiled header (its manual, "Precompiled headers"); no source here uses __DATE__ or __TIME__.
  set(CMAKE_C_COMPILER_LAUNCHER env CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_C_COMPILER_LAUNCHER})
endif()
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
# For code that waits for people, disks and networks, and for tests: it is compiled faster.
set(WATARI_NOT_HOT $<$<CONFIG:Release>:-O1>)
