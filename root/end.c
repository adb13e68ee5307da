/*
 * End of the system: all domains but the console go, the console gets time to write what it has, then the
 * machine is switched off or reset. A console that does not manage loses the serial line to root.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"
#include "log.h"

#define SLEEP_RESET 0UL
#define SLEEP_OFF 5UL
#define LOG_MS 3000 /* for the console to write what it has */
#define IDLE_MS 20  /* the line must be quiet for so long */
#define POLL_MS 1

static bool begun, told;
static uint64_t give_up, quiet;
static unsigned end_status;

bool end_begun(void)
{
    return begun;
}

void end_system(unsigned status)
{
    if (told)
        return;
    told = true;
    end_status = status;
    begun = manifest.head->at_exit != NOVA_AT_EXIT_STAY;
    for (unsigned i = 0; begun && i < manifest.head->domains; i++)
        if (domains[i].state == DOMAIN_RUNNING && i != manifest.head->console) {
            domain_destroy(&domains[i]);
            domains[i].state = DOMAIN_ENDED;
        }
    log_root("end status=%u", status);
    give_up = deadline_ms(LOG_MS);
    quiet = deadline_ms(IDLE_MS);
}

void end_check(void)
{
    const struct nova_manifest *h = manifest.head;
    unsigned status = 0, ended = 0;

    for (const struct domain *d = domains; d < domains + h->domains; d++) {
        if (h->until == NOVA_MANIFEST_NONE ? d->services : d->index != h->until)
            continue;
        if (d->state != DOMAIN_ENDED)
            return;
        ended++;
        status = d->status > status ? d->status : status;
    }
    if (ended)
        end_system(status);
}

uint64_t end_poll(void)
{
    if (!log_idle())
        quiet = deadline_ms(IDLE_MS);
    if (now() >= give_up) {
        log_to_serial();
        log_root("end status=%u", end_status);
    } else if (now() < quiet) {
        return deadline_ms(POLL_MS);
    }
    nova_hc_ctrl_hw(manifest.head->at_exit == NOVA_AT_EXIT_RESET ? SLEEP_RESET : SLEEP_OFF | acpi_s5() << 3,
                    NOVA_HW_SLEEP);
    panic("the machine cannot be switched off");
}
