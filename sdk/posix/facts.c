/*
 * Facts about the program that few programs ask for.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <nova/hypercall.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

const char nova_link_facts __attribute__((used)) = 0;

SYSCALL(uname)
{
    struct utsname *name = (struct utsname *)a[0];

    memset(name, 0, sizeof(*name));
    strcpy(name->sysname, "NOVA");
    memcpy(name->nodename, nova_info()->name, sizeof(nova_info()->name));
    strcpy(name->release, "0.1.0");
    strcpy(name->version, "NOVA SDK");
    strcpy(name->machine, "x86_64");
    return 0;
}

static uint64_t stack_limit;

static uint64_t stack_size(void)
{
    return stack_limit ? stack_limit : nova_info()->stack_end - nova_info()->stack_start;
}

/* The stack can only become smaller, for good: what is beyond the limit is taken away. */
static long limit_stack(const struct rlimit *new)
{
    uint64_t size = (new->rlim_cur + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1);
    uint64_t end = nova_info()->stack_end;

    if (new->rlim_cur != new->rlim_max || new->rlim_cur > stack_size())
        return new->rlim_cur == stack_size() ? 0 : -EPERM;
    for (uint64_t at = end - stack_size(); at < end - size; at += NOVA_PAGE)
        nova_parent(NOVA_PARENT_MAP, 0, 0, at, 1, 0);
    stack_limit = size;
    return 0;
}

/*
 * Limits are what the system file says; those on heap and stack can be made smaller. Part `files` has that
 * of open files.
 */
SYSCALL(prlimit64)
{
    static struct rlimit data = {RLIM_INFINITY, RLIM_INFINITY};
    const struct rlimit *new = (const struct rlimit *)a[2];
    struct rlimit *old = (struct rlimit *)a[3];
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    long result = 0;

    if ((a[0] && a[0] != 1) || a[1] < 0 || a[1] >= RLIM_NLIMITS || (new &&new->rlim_cur > new->rlim_max))
        return -EINVAL;
    if (a[1] == RLIMIT_NOFILE && posix_file_limit)
        return posix_file_limit(new, old);
    if (a[1] == RLIMIT_STACK)
        limit.rlim_cur = limit.rlim_max = stack_size();
    else if (a[1] == RLIMIT_DATA)
        limit = data;
    else if (a[1] == RLIMIT_AS)
        limit.rlim_cur = limit.rlim_max = nova_info()->pool_size;
    else if (a[1] == RLIMIT_NPROC)
        limit.rlim_cur = limit.rlim_max = nova_info()->threads;
    else if (a[1] == RLIMIT_CORE)
        limit.rlim_cur = limit.rlim_max = 0;
    if (new &&a[1] == RLIMIT_STACK) {
        result = limit_stack(new);
    } else if (new &&a[1] == RLIMIT_DATA &&new->rlim_max <= data.rlim_max) {
        data = *new;
        posix_data_limit = new->rlim_cur;
    } else if (new) {
        result = -EPERM;
    }
    if (old && !result)
        *old = limit;
    return result;
}

SYSCALL(sysinfo)
{
    struct sysinfo *info = (struct sysinfo *)a[0];
    struct nova_mem_state state;

    nova_mem_state(&state);
    memset(info, 0, sizeof(*info));
    info->uptime = nova_now() / NOVA_S;
    info->totalram = state.pool * NOVA_PAGE;
    info->freeram = state.free * NOVA_PAGE;
    info->procs = 1;
    info->mem_unit = 1;
    return 0;
}

/*
 * There are no users. One and the same number keeps programs from believing that they run with another's
 * rights.
 */
SYSCALL(getuid)
{
    (void)a;
    return 0;
}

SYSCALL(geteuid)
{
    return nova_sys_getuid(a);
}

SYSCALL(getgid)
{
    return nova_sys_getuid(a);
}

SYSCALL(getegid)
{
    return nova_sys_getuid(a);
}

SYSCALL(getppid)
{
    (void)a;
    return 0;
}
