/*
 * The root protection domain: first user of everything (specification, 6.2).
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef BOOT_ROOT_H
#define BOOT_ROOT_H

/* Fills the NOVA spaces, once all CPUs and devices are known. */
void nova_spaces_init(void);

/* Creates the root PD with its image, EC and SC. Panics on a root image that is not valid. */
void root_create(void);

#endif
