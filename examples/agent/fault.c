/*
 * fault: in front of key_sign(), for the test of the agent's end: until it has been started again, it dies when it is
 * to sign. The agent that is for use has nothing of this.
 *
 * SPDX-License-Identifier: MIT
 */

#include "keys.h"

#include <nova/program.h>

bool __real_key_sign(unsigned key, struct bytes data, uint8_t signature[KEY_SIGNATURE]);
bool __wrap_key_sign(unsigned key, struct bytes data, uint8_t signature[KEY_SIGNATURE]);

bool __wrap_key_sign(unsigned key, struct bytes data, uint8_t signature[KEY_SIGNATURE])
{
    if (!nova_info()->restarts)
        __builtin_trap();
    return __real_key_sign(key, data, signature);
}
