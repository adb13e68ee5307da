/*
 * What client.c asks server.c to do.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#define SECRET 0x5ec2e75ec2e7UL

enum {
    SERVER_ECHO,       /* argument + 1 */
    SERVER_PLACE,      /* portal identifier */
    SERVER_NAME,       /* first eight characters of the client's name */
    SERVER_GENERATION, /* of the session, from the table */
    SERVER_READ,       /* word `argument` of the buffer */
    SERVER_WRITE,      /* word `argument` becomes three times the argument */
    SERVER_RING,       /* ring the client; status */
    SERVER_WAIT,       /* wait for own doorbell, `argument` ms; status */
    SERVER_GONE,       /* sessions whose client is gone */
    SERVER_OPEN,       /* sessions that are open */
    SERVER_RELEASE,    /* use their buffers, release them; how many */
    SERVER_THROW_OUT,  /* release the session of the caller */
    SERVER_RESTARTS,   /* own restarts */
    SERVER_CRASH,
    SERVER_EXIT,
    SERVER_HANG
};
