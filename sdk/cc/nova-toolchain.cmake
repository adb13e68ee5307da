# CMake toolchain file: cmake -DCMAKE_TOOLCHAIN_FILE=.../share/nova/cmake/nova-toolchain.cmake
#
# SPDX-License-Identifier: MIT

get_filename_component(NOVA_PREFIX "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER "${NOVA_PREFIX}/bin/x86_64-nova-elf-gcc")
set(CMAKE_AR "${NOVA_PREFIX}/bin/x86_64-nova-elf-ar" CACHE FILEPATH "archiver")
set(CMAKE_RANLIB "${NOVA_PREFIX}/bin/x86_64-nova-elf-ranlib" CACHE FILEPATH "index of archives")
set(CMAKE_FIND_ROOT_PATH "${NOVA_PREFIX}/x86_64-nova-elf")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# Tests of the project run as host processes.
set(CMAKE_CROSSCOMPILING_EMULATOR "${NOVA_PREFIX}/bin/nova-host")
