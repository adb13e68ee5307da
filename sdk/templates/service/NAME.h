/* NAME: what client and service agree on. Each call is one word, and so is the answer. */

#ifndef SERVICE_H
#define SERVICE_H

#define SERVICE "NAME"
#define BUFFER_SIZE 0 /* no shared buffer: words are enough */

#endif
