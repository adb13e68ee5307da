/*
 * Names: remove, rename, link, make directories, look at links, walk about.
 *
 * SPDX-License-Identifier: MIT
 */

#include "files.h"
#include <limits.h>
#include <string.h>

static long unlink_at(long fd, long path, bool directory)
{
    struct place place;
    struct node *node;
    long result;

    files_enter();
    result = files_at(fd, path, false, &place);
    node = place.node;
    if (!result && !node)
        result = -ENOENT;
    else if (!result && directory && !S_ISDIR(node->mode))
        result = -ENOTDIR;
    else if (!result && !directory && S_ISDIR(node->mode))
        result = -EISDIR;
    else if (!result && !place.entry)
        result = place.length == 1 ? -EINVAL : -EBUSY;
    else if (!result && place.directory->readonly)
        result = -EROFS;
    else if (!result && directory && node->first)
        result = -ENOTEMPTY;
    if (!result) {
        files_remove(place.directory, place.entry);
        files_put(node);
    }
    return files_leave(result);
}

SYSCALL(unlink)
{
    return unlink_at(AT_FDCWD, a[0], false);
}

SYSCALL(rmdir)
{
    return unlink_at(AT_FDCWD, a[0], true);
}

SYSCALL(unlinkat)
{
    return unlink_at(a[0], a[1], a[2] & AT_REMOVEDIR);
}

/* Whether a directory is another one or lies in it. */
static bool within(const struct node *node, const struct node *directory)
{
    while (node != directory && node != files_root)
        node = node->parent;
    return node == directory;
}

static long replace(struct place *old, struct place *new)
{
    long result;

    if (!old->node || (!new->node &&new->slash && !S_ISDIR(old->node->mode)))
        return old->node ? -ENOTDIR : -ENOENT;
    if (!old->entry || (new->node && !new->entry))
        return -EBUSY;
    if (old->directory->readonly || new->directory->readonly)
        return -EROFS;
    if (old->node == new->node)
        return 0;
    if (S_ISDIR(old->node->mode) && within(new->directory, old->node))
        return -EINVAL;
    if (new->node && S_ISDIR(new->node->mode) != S_ISDIR(old->node->mode))
        return S_ISDIR(new->node->mode) ? -EISDIR : -ENOTDIR;
    if (new->node &&new->node->first)
        return -ENOTEMPTY;
    /* Nothing changes if there is no memory. */
    result = files_add(new->directory, new->name, new->length, old->node);
    if (result)
        return result;
    if (new->node) {
        files_remove(new->directory, new->entry);
        files_put(new->node);
    }
    files_remove(old->directory, old->entry);
    return 0;
}

SYSCALL(renameat)
{
    struct place old;
    struct place new;
    long result;

    files_enter();
    result = files_at(a[0], a[1], false, &old);
    if (!result)
        result = files_at(a[2], a[3], false, &new);
    return files_leave(result ? result : replace(&old, &new));
}

SYSCALL(rename)
{
    return nova_sys_renameat((const long[]){AT_FDCWD, a[0], AT_FDCWD, a[1]});
}

SYSCALL(mkdirat)
{
    struct place place;
    struct node *node;
    long result;

    files_enter();
    result = files_at(a[0], a[1], false, &place);
    if (!result)
        result = place.node ? -EEXIST
                            : files_create(&place, S_IFDIR | ((uint32_t)a[2] & 01777 & ~files_mask), &node);
    return files_leave(result);
}

SYSCALL(mkdir)
{
    return nova_sys_mkdirat((const long[]){AT_FDCWD, a[0], a[1]});
}

SYSCALL(linkat)
{
    struct place place = {0};
    struct node *node;
    long result;

    files_enter();
    result = files_node_at(a[0], a[1], a[4] & AT_SYMLINK_FOLLOW, &node);
    if (!result)
        result = files_at(a[2], a[3], false, &place);
    if (!result && S_ISDIR(node->mode))
        result = -EPERM;
    else if (!result && place.node)
        result = -EEXIST;
    else if (!result && (place.directory->readonly || node->readonly))
        result = -EROFS;
    return files_leave(result ? result : files_add(place.directory, place.name, place.length, node));
}

SYSCALL(link)
{
    return nova_sys_linkat((const long[]){AT_FDCWD, a[0], AT_FDCWD, a[1], 0});
}

SYSCALL(symlinkat)
{
    const char *target = (const char *)a[0];
    size_t length = strlen(target);
    struct place place;
    char *data;
    struct node *node;
    long result;

    if (!length || length >= PATH_MAX)
        return length ? -ENAMETOOLONG : -ENOENT;
    files_enter();
    data = files_alloc(length + 1);
    result = data ? files_at(a[1], a[2], false, &place) : -ENOSPC;
    if (!result)
        result = place.node ? -EEXIST : files_create(&place, S_IFLNK | 0777, &node);
    if (!result) {
        memcpy(data, target, length);
        node->data = data;
        node->size = length;
        node->capacity = length + 1;
    } else {
        files_free(data, length + 1);
    }
    return files_leave(result);
}

SYSCALL(symlink)
{
    return nova_sys_symlinkat((const long[]){a[0], AT_FDCWD, a[1]});
}

SYSCALL(readlinkat)
{
    struct node *node;
    long result;

    if (a[3] <= 0)
        return -EINVAL;
    files_enter();
    result = files_node_at(a[0], a[1], false, &node);
    if (!result && !S_ISLNK(node->mode))
        result = -EINVAL;
    if (!result) {
        result = (long)node->size < a[3] ? (long)node->size : a[3];
        memcpy((void *)a[2], node->data, (size_t)result);
    }
    return files_leave(result);
}

SYSCALL(readlink)
{
    return nova_sys_readlinkat((const long[]){AT_FDCWD, a[0], a[1], a[2]});
}

SYSCALL(faccessat)
{
    struct node *node;
    long result;

    if (a[2] & ~7)
        return -EINVAL;
    files_enter();
    result = files_node_at(a[0], a[1], true, &node);
    if (!result && (a[2] & 2) && node->readonly)
        result = -EROFS;
    else if (!result && (a[2] & 1) && !S_ISDIR(node->mode) && !(node->mode & 0111))
        result = -EACCES;
    return files_leave(result);
}

SYSCALL(faccessat2)
{
    return nova_sys_faccessat(a);
}

SYSCALL(access)
{
    return nova_sys_faccessat((const long[]){AT_FDCWD, a[0], a[1]});
}

static long change_directory(struct node *node)
{
    if (!S_ISDIR(node->mode))
        return -ENOTDIR;
    node->uses++;
    files_working->uses--;
    files_put(files_working);
    files_working = node;
    return 0;
}

SYSCALL(chdir)
{
    struct node *node;
    long result;

    files_enter();
    result = files_node_at(AT_FDCWD, a[0], true, &node);
    return files_leave(result ? result : change_directory(node));
}

SYSCALL(fchdir)
{
    const struct file *file;

    files_enter();
    file = files_get((int)a[0]);
    return files_leave(!file ? -EBADF : file->pipe ? -ENOTDIR : change_directory(file->node));
}

SYSCALL(getcwd)
{
    char *buffer = (char *)a[0];
    char path[PATH_MAX];
    size_t at = sizeof(path);
    struct node *node;

    files_enter();
    path[--at] = 0;
    for (node = files_working; node != files_root; node = node->parent) {
        const struct entry *e = node->parent->first;

        while (e && e->node != node)
            e = e->next;
        if (!e || !node->links)
            return files_leave(-ENOENT);
        if (at < (size_t)e->length + 2)
            return files_leave(-ENAMETOOLONG);
        at -= e->length;
        memcpy(path + at, e->name, e->length);
        path[--at] = '/';
    }
    if (!path[at])
        path[--at] = '/';
    if (sizeof(path) - at > (size_t)a[1])
        return files_leave(-ERANGE);
    memcpy(buffer, path + at, sizeof(path) - at);
    return files_leave((long)(sizeof(path) - at));
}
