/*
 * What the editor and its clients agree on: the text is in the shared buffer, and the words of a call say
 * what to do with how much of it.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#define EDITOR_BUFFER 8192

/* Word 0: what to do; word 1: bytes. Answer: word 0: 0 or enum nova_error; word 1: a number. */
enum editor_op {
    EDITOR_SHOUT, /* turns the text into capitals; answers with the number of letters changed */
    EDITOR_COUNT, /* answers with the number of words */
    EDITOR_WHO    /* puts the client's name, as the editor knows it, into the buffer; answers its length */
};
