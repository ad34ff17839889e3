# Libraries come as archives where the distribution has them, the C++ library too: finding and binding two dozen shared ones took a quarter of
# the time that a short command takes as a whole. libc stays shared: what base/late_library.h loads needs the same one.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
set(OPENSSL_USE_STATIC_LIBS ON)
set(Boost_USE_STATIC_LIBS ON)
if(NOT WATARI_SANITIZE)
  add_link_options(-static-libstdc++ -static-libgcc)
endif()

# The full paths of libraries, for those without a CMake package.
function(watari_find_libraries variable)
  set(found "")
  foreach(name ${ARGN})
    find_library(WATARI_LIB_${name} NAMES ${name} REQUIRED)
    list(APPEND found ${WATARI_LIB_${name}})
  endforeach()
  set(${variable} ${found} PARENT_SCOPE)
endfunction()
