/*
 * nova-image: checks a system file and makes a boot image of it.
 *
 * Exit status: 0 done, 1 the system file has errors, 2 wrong usage or the host failed.
 *
 * SPDX-License-Identifier: MIT
 */

#include "code.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: nova-image [options] SYSTEM.nova\n"
    "\n"
    "Checks a system file and makes a boot image (ISO, for BIOS and UEFI) of it.\n"
    "\n"
    "  -o, --output FILE         the boot image (default: SYSTEM.iso here)\n"
    "      --check               check only\n"
    "      --report FORM         print a report: text, dot (Graphviz), json or table\n"
    "      --manifest FILE       write the manifest\n"
    "      --kernel PATH         microhypervisor\n"
    "      --root PATH           root protection domain\n"
    "      --search DIR          look for images and archives here too (repeatable)\n"
    "      --machine-memory SIZE memory of the machine (default: 512M)\n"
    "      --machine-cpus N      CPUs of the machine (default: 4)\n"
    "      --count-lines FILE... print how many code lines each file has; nothing else\n"
    "      --help                this text\n"
    "      --version             the version\n"
    "\n"
    "With --check, --report or --manifest there is no boot image unless -o asks for one.\n";

struct options {
    const char *output, *report, *manifest, *kernel, *root, *table, *file;
    bool count;
    bool check;
    struct machine machine;
    struct search search;
    struct arena arena;
};

enum option_code {
    OPT_CHECK = 256,
    OPT_REPORT,
    OPT_MANIFEST,
    OPT_KERNEL,
    OPT_ROOT,
    OPT_SEARCH,
    OPT_MEMORY,
    OPT_CPUS,
    OPT_COUNT,
    OPT_HELP,
    OPT_VERSION
};

static void add_search(struct options *o, const char *folder)
{
    o->search.folders = arena_grow(&o->arena, o->search.folders, o->search.count, sizeof(char *));
    o->search.folders[o->search.count++] = folder;
}

static int bad_usage(const char *what)
{
    fprintf(stderr, "nova-image: %s\nTry `nova-image --help'.\n", what);
    return 2;
}

/* -1 to go on, or an exit status. */
static int read_options(struct options *o, int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"check", no_argument, NULL, OPT_CHECK},
        {"report", required_argument, NULL, OPT_REPORT},
        {"manifest", required_argument, NULL, OPT_MANIFEST},
        {"kernel", required_argument, NULL, OPT_KERNEL},
        {"root", required_argument, NULL, OPT_ROOT},
        {"search", required_argument, NULL, OPT_SEARCH},
        {"machine-memory", required_argument, NULL, OPT_MEMORY},
        {"machine-cpus", required_argument, NULL, OPT_CPUS},
        {"count-lines", no_argument, NULL, OPT_COUNT},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {NULL, 0, NULL, 0},
    };
    uint64_t number;
    int code;

    while ((code = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        switch (code) {
        case 'o':
            o->output = optarg;
            break;
        case OPT_CHECK:
            o->check = true;
            break;
        case OPT_REPORT:
            o->report = optarg;
            break;
        case OPT_MANIFEST:
            o->manifest = optarg;
            break;
        case OPT_KERNEL:
            o->kernel = optarg;
            break;
        case OPT_ROOT:
            o->root = optarg;
            break;
        case OPT_SEARCH:
            add_search(o, optarg);
            break;
        case OPT_MEMORY:
            if (parse_size(optarg, &o->machine.memory) || o->machine.memory < (64U << 20) ||
                o->machine.memory >> 46)
                return bad_usage("--machine-memory takes a size from 64M on, as 512M or 4G");
            break;
        case OPT_CPUS:
            if (parse_number(optarg, &number) || number < 1 || number > NOVA_CPUS_MAX)
                return bad_usage("--machine-cpus takes a number from 1 to 64");
            o->machine.cpus = (unsigned)number;
            break;
        case OPT_COUNT:
            o->count = true;
            break;
        case OPT_HELP:
            fputs(usage, stdout);
            return 0;
        case OPT_VERSION:
            puts("nova-image " PACKAGE_VERSION);
            return 0;
        default:
            return bad_usage("wrong option");
        }
    }
    if (o->count)
        return print_lines(argv + optind, stdout) && !fflush(stdout) ? 0 : 2;
    if (optind + 1 != argc)
        return bad_usage("one system file is wanted");
    o->file = argv[optind];
    if (o->report && strcmp(o->report, "text") && strcmp(o->report, "dot") && strcmp(o->report, "json") &&
        strcmp(o->report, "table"))
        return bad_usage("--report takes text, dot, json or table");
    return -1;
}

/*
 * Kernel, root and drivers are found from where this program is: in a build tree beside it, else in the
 * library folder of the installed SDK.
 */
static void find_home(struct options *o)
{
    char *self = realpath("/proc/self/exe", NULL), *slash = self ? strrchr(self, '/') : NULL;
    const char *folder, *top;

    if (!slash) {
        free(self);
        return;
    }
    *slash = 0;
    folder = arena_text(&o->arena, self, strlen(self));
    free(self);
    top = arena_print(&o->arena, "%s/../..", folder);
    if (!access(arena_print(&o->arena, "%s/nova-env", folder), R_OK)) {
        o->kernel = o->kernel ? o->kernel : arena_print(&o->arena, "%s/kernel/hypervisor", top);
        o->root = o->root ? o->root : arena_print(&o->arena, "%s/root/root", top);
        o->table = arena_print(&o->arena, "%s/code-lines", folder);
        add_search(o, arena_print(&o->arena, "%s/drivers", top));
        add_search(o, arena_print(&o->arena, "%s/vmm", top));
        return;
    }
    top = arena_print(&o->arena, "%s/" RELATIVE_LIBDIR, folder);
    o->kernel = o->kernel ? o->kernel : arena_print(&o->arena, "%s/hypervisor", top);
    o->root = o->root ? o->root : arena_print(&o->arena, "%s/root", top);
    o->table = arena_print(&o->arena, "%s/code-lines", top);
    add_search(o, top);
}

/* The name of the system file without its folder and ending, with .iso behind. */
static const char *default_output(struct options *o)
{
    const char *slash = strrchr(o->file, '/'), *name = slash ? slash + 1 : o->file, *dot = strrchr(name, '.');

    return arena_print(&o->arena, "%.*s.iso", dot && dot > name ? (int)(dot - name) : (int)strlen(name),
                       name);
}

static int write_results(struct system *s, struct options *o)
{
    if (o->report) {
        struct code code;

        count_code(s, &code, o->kernel, o->root, o->table);
        print_report(s, &o->machine, &code, o->report, stdout);
        if (fflush(stdout))
            return 2;
    }
    if (o->manifest) {
        size_t size;
        const uint8_t *manifest = make_manifest(s, &size);

        if (!manifest || !write_file(o->manifest, manifest, size))
            return 2;
    }
    if (!o->output && (o->check || o->report || o->manifest))
        return 0;
    if (!o->kernel || !o->root)
        return bad_usage("--kernel and --root are wanted");
    return make_iso(s, o->kernel, o->root, o->output ? o->output : default_output(o)) ? 0 : 2;
}

int main(int argc, char **argv)
{
    struct options o = {.machine = {.memory = 512U << 20, .cpus = 4}};
    int status = read_options(&o, argc, argv);
    struct system s = {.name = o.file};
    struct file *file;

    if (status >= 0) {
        arena_free(&o.arena);
        return status;
    }
    find_home(&o);
    file = read_file(&s.arena, o.file);
    if (file->error) {
        fprintf(stderr, "nova-image: %s: %s\n", o.file, file->error);
        status = 2;
    } else {
        parse_system(&s, (const char *)file->data, file->size);
        check_system(&s, &o.machine, &o.search);
        print_issues(&s, stderr);
        status = s.errors ? 1 : write_results(&s, &o);
    }
    system_free(&s);
    arena_free(&o.arena);
    return status;
}
