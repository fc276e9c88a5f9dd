/* vmctl tree: the guests as a family tree, each line with the guest's state. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX

/* Guests by their place in the reply, linked as a tree: indices, NONE for no guest. */
struct node {
    const json_t *guest;
    uint64_t id;
    size_t parent, first_child, next_sibling, last_child;
    bool has_parent;
};

struct lines_style {
    const char *child, *last_child, *line, *space;
};

static struct lines_style choose_style(void)
{
    if (strcmp(nl_langinfo(CODESET), "UTF-8") == 0)
        return (struct lines_style){"├─ ", "└─ ", "│  ", "   "};
    return (struct lines_style){"|- ", "`- ", "|  ", "   "};
}

static int by_id(const void *a, const void *b)
{
    uint64_t left = ((const struct node *)a)->id, right = ((const struct node *)b)->id;
    return left < right ? -1 : left > right;
}

/* The nodes sorted by id and linked. Who has no parent in the list is a root. */
static struct node *make_nodes(const json_t *guests, size_t count)
{
    struct node *nodes = calloc(count + 1, sizeof *nodes);
    if (!nodes)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const json_t *guest = json_array_get(guests, i);
        nodes[i] = (struct node){guest, member_number(guest, "id"), NONE, NONE, NONE, NONE, false};
    }
    qsort(nodes, count, sizeof *nodes, by_id);
    for (size_t i = 0; i < count; i++) {
        const json_t *parent = json_object_get(nodes[i].guest, "parent");
        struct node key = {.id = (uint64_t)json_integer_value(parent)};
        const struct node *found = json_is_integer(parent) ? bsearch(&key, nodes, count, sizeof *nodes, by_id) : NULL;
        if (!found || found == &nodes[i])
            continue;
        struct node *above = &nodes[found - nodes];
        nodes[i].has_parent = true;
        nodes[i].parent = (size_t)(found - nodes);
        if (above->last_child == NONE)
            above->first_child = i;
        else
            nodes[above->last_child].next_sibling = i;
        above->last_child = i;
    }
    return nodes;
}

/* The lines that lead from the ancestors past this node, outermost first. Depth is bounded by the caller's array. */
static void print_node(const struct node *nodes, size_t index, const struct lines_style *style, const size_t *path,
                       size_t depth)
{
    for (size_t i = 1; i < depth; i++)
        fputs(nodes[path[i]].next_sibling == NONE ? style->space : style->line, stdout);
    const struct node *node = &nodes[index];
    if (node->has_parent)
        fputs(node->next_sibling == NONE ? style->last_child : style->child, stdout);
    printf("g%" PRIu64 "  %s", node->id, member_text(node->guest, "state"));
    if (json_is_string(json_object_get(node->guest, "reason")))
        printf(" (%s)", end_words(node->guest).text);
    putchar('\n');
}

/* Walks one family without recursion: a chain of forks may be long. path[0..depth) are the node's ancestors. */
static void print_family(const struct node *nodes, size_t root, const struct lines_style *style, size_t *path)
{
    size_t depth = 0;
    size_t index = root;
    for (;;) {
        print_node(nodes, index, style, path, depth);
        if (nodes[index].first_child != NONE) {
            path[depth++] = index;
            index = nodes[index].first_child;
            continue;
        }
        while (depth > 0 && nodes[index].next_sibling == NONE)
            index = path[--depth];
        if (depth == 0)
            return;
        index = nodes[index].next_sibling;
    }
}

int show_tree(const json_t *guests)
{
    size_t count = json_array_size(guests);
    struct node *nodes = make_nodes(guests, count);
    size_t *path = calloc(count + 1, sizeof *path);
    struct lines_style style = choose_style();
    for (size_t i = 0; i < count && nodes && path; i++)
        if (!nodes[i].has_parent)
            print_family(nodes, i, &style, path);
    int result = nodes && path ? 0 : -1;
    free(nodes);
    free(path);
    return result;
}
