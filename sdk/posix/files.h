/*
 * Files: a tree of nodes in memory. Its root is the read-only archive that the system gives the program;
 * /tmp and /dev/shm are writable, /dev has a few devices. One lock for all of it.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "posix.h"
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

enum device { DEVICE_NONE, DEVICE_CONSOLE, DEVICE_NULL, DEVICE_ZERO, DEVICE_RANDOM };

struct node {
    uint32_t mode; /* S_IFDIR, S_IFREG, S_IFLNK, S_IFCHR, S_IFIFO and permissions, which nobody enforces */
    uint32_t links;
    uint32_t uses;    /* open files, working directory, directories whose parent it is */
    uint32_t mapped;  /* how often: its memory is known outside, and stays where it is */
    uint8_t readonly; /* from the archive */
    uint8_t device;
    uint64_t number;
    struct timespec accessed, modified, changed;
    char *data; /* contents, target of a symbolic link */
    uint64_t size;
    uint64_t capacity; /* bytes of memory behind data, 0 in the archive */
    struct entry *first, **last;
    struct node *parent;
    uint64_t cookie; /* of the last entry */
};

struct entry {
    struct entry *next;
    struct node *node;
    uint64_t cookie; /* rising: position for readers of the directory */
    uint16_t length;
    char name[];
};

/* Where a path leads: the directory, the entry in it if there is one, and the node. */
struct place {
    struct node *directory;
    struct entry *entry;
    struct node *node;
    const char *name;
    size_t length;
    bool slash; /* the path ended with one */
};

extern struct nova_mutex files_lock;
extern struct node *files_root, *files_working;

/* All with files_lock. */
void files_start(void);
struct timespec files_time(void);
/* Finds a path; the last part may be absent: then node is NULL. */
long files_find(struct node *from, const char *path, bool follow, struct place *place);
struct node *files_node(uint32_t mode);
long files_add(struct node *directory, const char *name, size_t length, struct node *node);
void files_remove(struct node *directory, struct entry *entry);
void files_put(struct node *node);
long files_resize(struct node *node, uint64_t size);
long files_reserve(struct node *node, uint64_t size);
void *files_alloc(size_t size);
void files_free(void *memory, size_t size);

/* An open file; several descriptors can share one. */
struct pipe;
struct file {
    uint32_t uses;
    int flags; /* O_ACCMODE, O_APPEND, O_NONBLOCK */
    uint64_t offset;
    struct node *node;
    struct pipe *pipe;
};

/* Pipes; part of files_lock, released while they wait. events is raised with every change. */
extern uint32_t files_events;
void files_changed(void);
long files_wait(uint32_t seen, uint64_t deadline);
long pipe_new(struct pipe **pipe);
void pipe_put(struct pipe *pipe, bool writer);
long pipe_transfer(struct file *file, void *buffer, size_t size, bool write);
unsigned pipe_ready(const struct file *file);

struct file *files_get(int fd);
/* One user of an open file less. */
void files_drop(struct file *file);
extern uint32_t files_mask;

/* Around every call: the lock, and what is made at the first one. leave hands its argument through. */
void files_enter(void);
long files_leave(long result);
/* The arguments of an *at call; the second one gives -ENOENT for what is not there. */
long files_at(long fd, long path, bool follow, struct place *place);
long files_node_at(long fd, long path, bool follow, struct node **node);
/* A new node at a place that is free. */
long files_create(const struct place *place, uint32_t mode, struct node **made);

static inline bool file_writable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_RDONLY;
}

static inline bool file_readable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_WRONLY;
}

/* Whether reading would not wait; the same for the console. */
bool files_readable(const struct file *file);
bool console_ready(void);
