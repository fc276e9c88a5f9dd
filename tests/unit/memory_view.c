/* Views: what they say of each page while it is harvested, published and forgotten, and what children share of them. */
#include "vmm/base/background.h"
#include "vmm/memory/arena.h"
#include "vmm/memory/view.h"

#include <check.h>
#include <stdlib.h>

static struct cleave_failure failure;

#define MEMORY (UINT64_C(16) << 20)

struct fixture {
    struct background *background;
    struct layers *layers;
    struct arena *arena;
    struct views *views;
    struct layer *layer;
    struct view view;
};

static struct fixture f;

static void set_up(void)
{
    f.background = background_new("test");
    f.layers = layers_new(f.background);
    f.arena = arena_new(f.layers, f.background);
    f.views = views_new(f.layers, &failure);
    ck_assert_ptr_nonnull(f.views);
    ck_assert_int_eq(layer_new(f.layers, MEMORY, &f.layer, &failure), 0);
    ck_assert_int_eq(view_init(&f.view, f.views, MEMORY, &failure), 0);
    ck_assert_int_eq(view_map(&f.view, 0, layer_hpa(f.layer), MEMORY, true, &failure), 0);
    layer_close(f.layers, f.layer);
}

static void tear_down(void)
{
    view_free(&f.view);
    ck_assert_uint_eq(views_table_bytes(f.views), 0);
    ck_assert_uint_eq(layers_live_bytes(f.layers), 0);
    arena_free(f.arena);
    layers_free(f.layers);
    background_free(f.background);
    views_free(f.views);
}

static void check_view(struct view *view)
{
    struct pt_fault fault;
    ck_assert_msg(ept_check(&view->pt, NULL, NULL, &fault) == PT_OK, "%s", fault.what);
}

/* Where the view has the page now. */
static struct cleave_translation translate(struct view *view, uint64_t gpa)
{
    struct cleave_translation t;
    view_translate(view, gpa, &t);
    return t;
}

static uint64_t publish(struct view *view, uint64_t gpa, uint64_t pages)
{
    uint64_t hpa;
    void *memory;
    ck_assert_int_eq(arena_allocate(f.arena, pages, false, &hpa, &memory, &failure), 0);
    ck_assert_int_eq(view_publish(view, gpa, hpa, pages * PAGE_BYTES, &failure), 0);
    return hpa;
}

START_TEST(a_new_view_maps_its_layer_in_place)
{
    struct cleave_translation t = translate(&f.view, 5 * PAGE_BYTES + 123);
    ck_assert(t.mapped && t.read && t.write && t.execute && !t.dirty);
    ck_assert_uint_eq(t.hpa, layer_hpa(f.layer) + 5 * PAGE_BYTES + 123);
    ck_assert_uint_eq(t.page_size, BLOCK_BYTES);
    ck_assert_uint_eq(t.page_start, 0);
    ck_assert_str_eq(t.memory_type, "WB");
    ck_assert_str_eq(t.backing, "layer");
    ck_assert_uint_eq(t.step_count, 3);
    ck_assert(!translate(&f.view, MEMORY).mapped);
    check_view(&f.view);
}
END_TEST

START_TEST(freezing_takes_write_access_and_nothing_else)
{
    ck_assert_int_eq(view_freeze(&f.view, &failure), 0);
    struct cleave_translation t = translate(&f.view, MEMORY - 1);
    ck_assert(t.mapped && t.read && !t.write && t.execute && !t.dirty);
    check_view(&f.view);
}
END_TEST

START_TEST(harvested_pages_are_dirty_and_backed_by_the_overlay_until_published)
{
    view_freeze(&f.view, &failure);
    ck_assert_int_eq(view_set_dirty(&f.view, 7 * PAGE_BYTES, 2 * PAGE_BYTES, &failure), 0);
    ck_assert_str_eq(translate(&f.view, 6 * PAGE_BYTES).backing, "layer");
    ck_assert_str_eq(translate(&f.view, 7 * PAGE_BYTES).backing, "overlay");
    ck_assert_str_eq(translate(&f.view, 8 * PAGE_BYTES).backing, "overlay");
    ck_assert_str_eq(translate(&f.view, 9 * PAGE_BYTES).backing, "layer");
    uint64_t hpa = publish(&f.view, 7 * PAGE_BYTES, 2);
    struct cleave_translation t = translate(&f.view, 8 * PAGE_BYTES);
    ck_assert_uint_eq(t.hpa, hpa + PAGE_BYTES);
    ck_assert(!t.dirty && !t.write);
    ck_assert_str_eq(t.backing, "layer");
    check_view(&f.view);
}
END_TEST

START_TEST(forgotten_pages_are_of_their_layer_again)
{
    view_freeze(&f.view, &failure);
    struct pt_statistics before, after;
    ck_assert_int_eq(view_set_dirty(&f.view, 7 * PAGE_BYTES, 600 * PAGE_BYTES, &failure), 0);
    view_count(&f.view, &before);
    view_forget_dirty(&f.view, 7 * PAGE_BYTES, 600 * PAGE_BYTES);
    for (uint64_t page = 0; page < 1024; page++) {
        struct cleave_translation t = translate(&f.view, page * PAGE_BYTES);
        ck_assert(t.mapped && !t.dirty && !t.accessed && !t.write);
        ck_assert_uint_eq(t.hpa, layer_hpa(f.layer) + page * PAGE_BYTES);
    }
    view_forget_dirty(&f.view, 0, MEMORY); /* where there is nothing to forget, nothing is split */
    view_count(&f.view, &after);
    ck_assert_mem_eq(&before, &after, sizeof before);
    check_view(&f.view);
}
END_TEST

START_TEST(swapped_views_are_each_other)
{
    struct view other;
    view_freeze(&f.view, &failure);
    ck_assert_int_eq(view_init(&other, f.views, MEMORY, &failure), 0);
    ck_assert_int_eq(view_share(&other, &f.view, &failure), 0);
    uint64_t hpa = publish(&f.view, 0, 3);
    view_swap(&f.view, &other);
    ck_assert_uint_eq(translate(&f.view, 0).hpa, layer_hpa(f.layer));
    ck_assert_uint_eq(translate(&other, 0).hpa, hpa);
    ck_assert_uint_eq(publish(&f.view, 0, 1), translate(&f.view, 0).hpa);
    check_view(&f.view);
    check_view(&other);
    view_free(&other);
    check_view(&f.view);
    ck_assert_uint_eq(layers_live_bytes(f.layers), MEMORY);
}
END_TEST

static int collect(void *context, const struct view_run *run)
{
    struct view_run **next = context;
    *(*next)++ = *run;
    return 0;
}

START_TEST(runs_are_as_long_as_contiguity_goes)
{
    struct view_run runs[8], *end = runs;
    ck_assert_int_eq(view_each_run(&f.view, collect, &end), 0);
    ck_assert_int_eq(end - runs, 1);
    ck_assert_uint_eq(runs[0].bytes, MEMORY);
    uint64_t hpa = publish(&f.view, 10 * PAGE_BYTES, 600); /* across a block's border */
    end = runs;
    view_each_run(&f.view, collect, &end);
    ck_assert_int_eq(end - runs, 3);
    ck_assert_uint_eq(runs[0].bytes, 10 * PAGE_BYTES);
    ck_assert_uint_eq(runs[1].gpa, 10 * PAGE_BYTES);
    ck_assert_uint_eq(runs[1].hpa, hpa);
    ck_assert_uint_eq(runs[1].bytes, 600 * PAGE_BYTES);
    ck_assert_uint_eq(runs[2].gpa + runs[2].bytes, MEMORY);
}
END_TEST

START_TEST(a_child_shares_every_frame_and_outlives_its_parent)
{
    struct view child;
    view_freeze(&f.view, &failure);
    uint64_t hpa = publish(&f.view, 0, 1);
    uint64_t live = layers_live_bytes(f.layers);
    ck_assert_int_eq(view_init(&child, f.views, MEMORY, &failure), 0);
    ck_assert_int_eq(view_share(&child, &f.view, &failure), 0);
    ck_assert_uint_eq(layers_live_bytes(f.layers), live);
    publish(&f.view, 0, 512); /* the parent moves on */
    ck_assert_uint_eq(translate(&child, 0).hpa, hpa);
    ck_assert_uint_eq(translate(&child, PAGE_BYTES).hpa, layer_hpa(f.layer) + PAGE_BYTES);
    check_view(&child);
    check_view(&f.view);
    view_free(&f.view);
    ck_assert_uint_eq(translate(&child, 0).hpa, hpa);
    ck_assert_uint_eq(layers_live_bytes(f.layers), MEMORY);
    f.view = child; /* what tear_down() frees; no cursor is open on it */
}
END_TEST

START_TEST(a_child_costs_a_few_tables_until_one_of_them_publishes)
{
    struct view child;
    uint64_t used, parent;
    view_freeze(&f.view, &failure);
    for (uint64_t gpa = 0; gpa < MEMORY; gpa += UINT64_C(2) << 20) /* every 2 MiB page is split */
        publish(&f.view, gpa, 1);
    parent = views_table_bytes(f.views);
    ck_assert_uint_ge(parent, 8 * PAGE_BYTES);
    ck_assert_int_eq(view_init(&child, f.views, MEMORY, &failure), 0);
    ck_assert_int_eq(view_share(&child, &f.view, &failure), 0);
    ck_assert_uint_le(views_table_bytes(f.views), parent + 3 * PAGE_BYTES); /* none of the eight with pages */
    used = views_table_bytes(f.views);
    publish(&child, 0, 1);
    ck_assert_uint_eq(views_table_bytes(f.views), used + PAGE_BYTES);
    check_view(&child);
    check_view(&f.view);
    view_free(&child);
    ck_assert_uint_eq(views_table_bytes(f.views), parent);
}
END_TEST

START_TEST(what_nobody_maps_any_more_is_given_back)
{
    uint64_t live = layers_live_bytes(f.layers);
    for (int i = 0; i < 50; i++)
        publish(&f.view, 3 * PAGE_BYTES, 20);
    ck_assert_uint_eq(layers_live_bytes(f.layers), live);
    check_view(&f.view);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_view");
    TCase *views = tcase_create("views");
    tcase_add_checked_fixture(views, set_up, tear_down);
    tcase_add_test(views, a_new_view_maps_its_layer_in_place);
    tcase_add_test(views, freezing_takes_write_access_and_nothing_else);
    tcase_add_test(views, harvested_pages_are_dirty_and_backed_by_the_overlay_until_published);
    tcase_add_test(views, forgotten_pages_are_of_their_layer_again);
    tcase_add_test(views, swapped_views_are_each_other);
    tcase_add_test(views, runs_are_as_long_as_contiguity_goes);
    tcase_add_test(views, a_child_shares_every_frame_and_outlives_its_parent);
    tcase_add_test(views, a_child_costs_a_few_tables_until_one_of_them_publishes);
    tcase_add_test(views, what_nobody_maps_any_more_is_given_back);
    suite_add_tcase(suite, views);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
