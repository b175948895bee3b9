# SPDX-License-Identifier: Apache-2.0
# embed.cmake - a file of the repository as an array of octets in C: embed(FILE SYMBOL OUT).
# It is done when the build is configured; a changed file configures again.
function(embed file symbol out)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," octets "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" octets "${octets}")
  set(text "/* Made by policy/embed.cmake from ${symbol}; not to be edited. */\n#include <stddef.h>\n")
  string(APPEND text "extern const unsigned char ${symbol}[];\nextern const size_t ${symbol}_len;\n")
  string(APPEND text "const unsigned char ${symbol}[] = {\n${octets}};\n")
  string(APPEND text "const size_t ${symbol}_len = sizeof(${symbol});\n")
  file(CONFIGURE OUTPUT ${out} CONTENT "${text}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
endfunction()
