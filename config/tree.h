/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - the parsed file as a tree, every node with its place.
 *
 * config/yaml.c makes it, config/apply.c fills the snapshot from it, and policy/ compiles its own sections
 * (groups, reputation, policy, ...) from config.root: beside config.h this header and values.h are the only
 * ones of config/ that another folder may include.
 *
 * The tree is immutable and lives as long as its snapshot.  Children are in the order of the file, linked
 * by `next`; a mapping's keys are unique.  All texts are UTF-8 without NUL and control characters other
 * than tab and newline, and a NUL follows them.  Quotes make no difference: `off` and "off" are one scalar,
 * and `key:` with nothing behind it is the empty scalar.
 *
 *     const struct config_node *child;
 *     CONFIG_NODE_EACH (node, child)
 *         use(child->key, child);
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include "config/config.h"
#include "core/arena.h"

enum config_node_kind { NODE_SCALAR = 0, NODE_SEQUENCE, NODE_MAPPING };

struct config_node {
    enum config_node_kind kind;
    int line, column;         /* of the value, from 1 */
    int key_line, key_column; /* of the key; the value's own place where there is no key */
    struct slice key;         /* in a mapping; empty in a sequence and for the root */
    struct slice text;        /* NODE_SCALAR: with ${NAME} replaced */
    struct slice raw;         /* NODE_SCALAR: as written, before ${NAME} was replaced */
    bool bad;                 /* NODE_SCALAR: an error was reported; the text means nothing */
    bool twice;               /* its key was given again, which was reported: that value is not in the tree */
    size_t count;             /* children */
    const struct config_node *first; /* child, NULL if none */
    const struct config_node *next;  /* sibling */
};

#define CONFIG_TREE_MAX_BYTES (4u << 20) /* of a file */
#define CONFIG_TREE_MAX_DEPTH 32
#define CONFIG_TREE_MAX_NODES 400000
#define CONFIG_TREE_MAX_SCALAR 65536 /* octets of one scalar after ${NAME} */

#define CONFIG_NODE_EACH(node, child) for ((child) = (node)->first; (child) != NULL; (child) = (child)->next)

/*
 * Parses `text`.  The tree is in `arena`, which must allow for it.  Returns the root, an empty mapping for an
 * empty file, or NULL when the text cannot be read to its end; every error is added to `errs`.  A tree is
 * returned beside errors (duplicate keys, unset variables) so that all errors of a file appear at once.
 */
const struct config_node *config_tree_parse(struct slice text, struct arena *arena,
                                            struct config_errors *errs) MUST_USE;

/* The child of a mapping, or NULL.  `key` is not a path. */
const struct config_node *config_node_get(const struct config_node *node, const char *key);

/* The node at a path of keys with dots ("admin.token"), or NULL. */
const struct config_node *config_node_find(const struct config_node *root, const char *path);

/* "a mapping", "a list", "a value": for messages. */
const char *config_node_kind_name(const struct config_node *node);

/*
 * Is it the scalar `word`?  False for NULL and other kinds.
 */
bool config_node_is(const struct config_node *node, const char *word);

/*
 * Replaces ${NAME} and ${NAME:-default} by the environment; "$${" stands for "${".  Other dollars stay.
 * A default holds no "}".  False with a sentence in `why` (a name that is not set, bad syntax, too long).
 */
bool config_expand(struct slice text, struct buf *out, struct buf *why) MUST_USE;

/* A scalar as YAML text that reads back to the same: quoted where needed, "${" written as "$${". */
void config_node_put_scalar(struct buf *out, struct slice text);

/*
 * What stands behind `key:` or `-` in a block at `indent` steps of two blanks: the node as YAML with its line
 * ends.  Scalars with ${NAME} are written with it, so what the environment holds stays there; users and passwords in
 * URLs, and labels of a `zone` that may be query keys, are masked (secret.h).
 */
void config_node_put(struct buf *out, const struct config_node *node, unsigned indent);

#endif
