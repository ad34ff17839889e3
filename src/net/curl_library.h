#pragma once
// libcurl's functions, loaded when somebody first needs them: base/late_library.h. For the files of this room that speak through curl.
#include <curl/curl.h>

#include "base/late_library.h"

namespace watari::net {

struct CurlLibrary {
  LateLibrary library{"libcurl.so.4"};
  WATARI_LATE(curl_global_init);
  WATARI_LATE(curl_easy_init);
  WATARI_LATE(curl_easy_cleanup);
  WATARI_LATE(curl_easy_reset);
  WATARI_LATE(curl_easy_setopt);
  WATARI_LATE(curl_easy_getinfo);
  WATARI_LATE(curl_easy_perform);
  WATARI_LATE(curl_easy_send);
  WATARI_LATE(curl_easy_recv);
  WATARI_LATE(curl_easy_strerror);
  WATARI_LATE(curl_slist_append);
  WATARI_LATE(curl_slist_free_all);

  CurlLibrary() {
    if (library.ready()) curl_global_init(CURL_GLOBAL_DEFAULT);
  }
};

inline const CurlLibrary& curl_library() {
  static const CurlLibrary library;
  return library;
}

}  // namespace watari::net
