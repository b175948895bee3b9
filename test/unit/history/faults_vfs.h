/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults_vfs.h - a disk that becomes full: SQLite's own VFS, whose writes fail from a chosen one on.
 */
#ifndef TEST_HISTORY_FAULTS_VFS_H
#define TEST_HISTORY_FAULTS_VFS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

enum { VFS_NEVER = -1, VFS_METHODS = 4 };

static long vfs_writes_left = VFS_NEVER; /* how many writes succeed; VFS_NEVER: all */
static long vfs_writes;                  /* since the start */
static sqlite3_vfs vfs_faulty;
static sqlite3_vfs *vfs_real;
static struct {
    const sqlite3_io_methods *real;
    sqlite3_io_methods ours;
} vfs_methods[VFS_METHODS];

static const sqlite3_io_methods *vfs_real_methods(sqlite3_file *f)
{
    for (size_t i = 0; i < VFS_METHODS; i++) {
        if (f->pMethods == &vfs_methods[i].ours) {
            return vfs_methods[i].real;
        }
    }
    return NULL;
}

static bool vfs_is_full(void)
{
    vfs_writes++;
    if (vfs_writes_left == 0) {
        return true;
    }
    vfs_writes_left -= vfs_writes_left > 0;
    return false;
}

static int vfs_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 at)
{
    return vfs_is_full() ? SQLITE_FULL : vfs_real_methods(f)->xWrite(f, data, len, at);
}

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    int err = vfs_real->xOpen(v, name, f, flags, out);

    for (size_t i = 0; err == SQLITE_OK && f->pMethods != NULL && i < VFS_METHODS; i++) {
        if (vfs_methods[i].real == NULL) {
            vfs_methods[i].real = f->pMethods;
            vfs_methods[i].ours = *f->pMethods;
            vfs_methods[i].ours.xWrite = vfs_write;
        }
        if (vfs_methods[i].real == f->pMethods) {
            f->pMethods = &vfs_methods[i].ours;
            break;
        }
    }
    return err;
}

static inline void vfs_install(void)
{
    vfs_real = sqlite3_vfs_find(NULL);
    vfs_faulty = *vfs_real;
    vfs_faulty.zName = "faulty";
    vfs_faulty.pNext = NULL;
    vfs_faulty.xOpen = vfs_open;
    (void)sqlite3_vfs_register(&vfs_faulty, 1);
}

#endif
