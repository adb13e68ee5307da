/* NAME: what client and service agree on. Each call is one word, and so is the answer. */

#pragma once

#define SERVICE "NAME"
#define BUFFER_SIZE 0 /* no shared buffer: words are enough */
