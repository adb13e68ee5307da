/*
 * data: see data.h. A description is given only if all of the data is what it has to be, to the last byte: so nothing
 * can be signed as one thing and used as another.
 *
 * SPDX-License-Identifier: MIT
 */

#include "data.h"

#include "keys.h"

#include <stdio.h>

#define USERAUTH_REQUEST 50
#define SHOWN 49 /* bytes of a name, with the 0 */

/* OpenSSH, PROTOCOL.sshsig: magic, namespace, reserved, hash algorithm, hash. */
static bool is_sshsig(struct bytes data, struct bytes *namespace)
{
    struct reader r = {data.at, data.size, false};
    bool magic = same_text(read_raw(&r, 6), "SSHSIG");

    *namespace = read_string(&r);
    read_string(&r);
    struct bytes hash = read_string(&r);
    size_t size = read_string(&r).size;
    return magic && namespace->size && read_all(&r) &&
           ((same_text(hash, "sha256") && size == 32) || (same_text(hash, "sha512") && size == 64));
}

/* RFC 4252, 7; with the host's key at the end in OpenSSH's method (PROTOCOL, 3.1). */
static bool is_login(struct bytes data, struct bytes key, struct bytes *user, struct bytes *host)
{
    struct reader r = {data.at, data.size, false};
    size_t session = read_string(&r).size;
    bool request = read_u8(&r) == USERAUTH_REQUEST;

    *user = read_string(&r);
    bool service = same_text(read_string(&r), "ssh-connection");
    struct bytes method = read_string(&r);
    bool bound = same_text(method, "publickey-hostbound-v00@openssh.com");
    bool with_signature = read_u8(&r) == 1;
    bool algorithm = same_text(read_string(&r), KEY_TYPE);
    bool this_key = same_bytes(read_string(&r), key.at, key.size);
    *host = bound ? read_string(&r) : (struct bytes){NULL, 0};
    return session && request && service && (bound || same_text(method, "publickey")) && with_signature &&
           algorithm && this_key && read_all(&r);
}

void data_describe(struct bytes data, struct bytes key, char text[DATA_TEXT])
{
    struct bytes name, host;
    char shown[SHOWN], print[KEY_PRINT];

    if (is_sshsig(data, &name)) {
        show_bytes(name, shown, sizeof(shown));
        snprintf(text, DATA_TEXT, "a signature for \"%s\"", shown);
    } else if (is_login(data, key, &name, &host)) {
        show_bytes(name, shown, sizeof(shown));
        key_print(host, print);
        snprintf(text, DATA_TEXT, "a login as \"%s\" on %s%s", shown,
                 host.size ? "host " : "a host that it does not name", host.size ? print : "");
    } else {
        snprintf(text, DATA_TEXT, "%zu bytes of unknown data", data.size);
    }
}
