/*
 * What the station and its listeners agree on: a listener's buffer is a stream of lines (nova/stream.h)
 * which the station fills and the listener empties. After each line the station rings. An empty line is the
 * end.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/stream.h>

#define STATION_BUFFER 4096
