/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - the parsed file as a tree; every node knows its line and column.
 *
 * config/yaml.c makes it, and config/apply.c fills the snapshot from it.  policy/ compiles its own sections
 * (groups, reputation, policy, ...) from config.root, and so may include this header.
 *
 * The tree is immutable and lives as long as its snapshot.  `next` links children in the order of the file.  A
 * mapping's keys are unique.  All texts are UTF-8, end with NUL, and contain no controls other than tab and newline.
 * Quotes make no difference: `off` and "off" are the same scalar.  `key:` without a value is the empty scalar.
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
    int line, column;                /* of the value, from 1 */
    int key_line, key_column;        /* of the key; without a key, of the value */
    struct slice key;                /* in a mapping; empty in a sequence and for the root */
    struct slice text;               /* NODE_SCALAR: with ${NAME} replaced */
    struct slice raw;                /* NODE_SCALAR: as written, before ${NAME} was replaced */
    bool bad;                        /* NODE_SCALAR: an error was reported; ignore the text */
    bool twice;                      /* a duplicate of its key was reported and is not in the tree */
    size_t count;                    /* children */
    const struct config_node *first; /* child, NULL if none */
    const struct config_node *next;  /* sibling */
};

#define CONFIG_TREE_MAX_BYTES (4u << 20) /* of a file */
#define CONFIG_TREE_MAX_DEPTH 32
#define CONFIG_TREE_MAX_NODES 400000
#define CONFIG_TREE_MAX_SCALAR 65536 /* octets of one scalar after ${NAME} */

#define CONFIG_NODE_EACH(node, child) for ((child) = (node)->first; (child) != NULL; (child) = (child)->next)

/*
 * Parses `text` into `arena`, which must be large enough.  Returns the root (an empty mapping for an empty file), or
 * NULL if it cannot read the text to its end.  Adds every error to `errs`.  May return a tree in spite of errors
 * (duplicate keys, unset variables), so that all errors of a file appear at once.
 */
const struct config_node *config_tree_parse(struct slice text, struct arena *arena,
                                            struct config_errors *errs) MUST_USE;

/* The child of a mapping, or NULL.  `key` is not a path. */
const struct config_node *config_node_get(const struct config_node *node, const char *key);

/* The node at a path of keys with dots ("admin.token"), or NULL. */
const struct config_node *config_node_find(const struct config_node *root, const char *path);

/* Returns "a mapping", "a list" or "a value", for messages. */
const char *config_node_kind_name(const struct config_node *node);

/*
 * Is it the scalar `word`?  False for NULL and other kinds.
 */
bool config_node_is(const struct config_node *node, const char *word);

/*
 * Replaces ${NAME} and ${NAME:-default} by the environment, and "$${" by "${".  Other dollars stay.
 * A default has no "}".  False: `why` has a sentence (unset name, bad syntax, too long).
 */
bool config_expand(struct slice text, struct buf *out, struct buf *why) MUST_USE;

/* Writes a scalar as YAML text that reads back to the same: quoted where needed, "${" as "$${". */
void config_node_put_scalar(struct buf *out, struct slice text);

/*
 * Writes the node as YAML that follows `key:` or `-` in a block at `indent` steps of two blanks, with line ends.
 * Writes ${NAME} as it is, so no value of the environment is shown.  Masks users and passwords in URLs, and labels of a
 * `zone` that may be query keys (secret.h).
 */
void config_node_put(struct buf *out, const struct config_node *node, unsigned indent);

#endif
