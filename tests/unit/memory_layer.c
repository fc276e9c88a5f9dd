/* Layers: how frames are counted at every level, when their memory goes back, and where published pages go. */
#include "vmm/memory/arena.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct background *background;
static struct layers *layers;
static struct arena *arena;
static struct cleave_failure failure;

static void set_up(void)
{
    background = background_new("test");
    ck_assert_ptr_nonnull(background);
    layers = layers_new(background);
    ck_assert_ptr_nonnull(layers);
    arena = arena_new(layers, background);
    ck_assert_ptr_nonnull(arena);
}

/* As store_settle() does. */
static void settle(void)
{
    arena_settle(arena);
    layers_settle(layers);
}

static void tear_down(void)
{
    arena_free(arena);
    layers_free(layers);
    background_free(background);
}

static struct layer *new_layer(uint64_t bytes)
{
    struct layer *layer;
    ck_assert_msg(layer_new(layers, bytes, &layer, &failure) == 0, "%s", failure.text);
    return layer;
}

/* Pages that the kernel holds for the file. */
static uint64_t resident(int fd)
{
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    return (uint64_t)status.st_blocks * 512 / PAGE_BYTES;
}

START_TEST(layers_do_not_overlap_and_are_aligned)
{
    struct layer *a = new_layer(PAGE_BYTES), *b = new_layer(3 * LAYER_ALIGN + PAGE_BYTES), *c = new_layer(LAYER_ALIGN);
    struct layer *all[] = {a, b, c};
    uint64_t sizes[] = {PAGE_BYTES, 3 * LAYER_ALIGN + PAGE_BYTES, LAYER_ALIGN};
    for (int i = 0; i < 3; i++) {
        uint64_t hpa = layer_hpa(all[i]), offset, bytes;
        int fd;
        ck_assert_uint_ne(hpa, 0);
        ck_assert_uint_eq(hpa % LAYER_ALIGN, 0);
        ck_assert(layers_find(layers, hpa + sizes[i] - PAGE_BYTES, &fd, &offset, &bytes));
        ck_assert_int_eq(fd, layer_fd(all[i]));
        ck_assert_uint_eq(offset, sizes[i] - PAGE_BYTES);
        ck_assert_uint_eq(bytes, PAGE_BYTES);
        ck_assert(!layers_find(layers, hpa + sizes[i], &fd, &offset, &bytes) || sizes[i] % LAYER_ALIGN == 0);
        for (int k = 0; k < i; k++)
            ck_assert(hpa >= layer_hpa(all[k]) + sizes[k] || layer_hpa(all[k]) >= hpa + sizes[i]);
    }
    for (int i = 0; i < 3; i++)
        layer_close(layers, all[i]);
}
END_TEST

START_TEST(hpas_of_a_closed_layer_are_used_again)
{
    struct layer *a = new_layer(2 * LAYER_ALIGN);
    uint64_t hpa = layer_hpa(a);
    layer_close(layers, a);
    struct layer *b = new_layer(2 * LAYER_ALIGN);
    ck_assert_uint_eq(layer_hpa(b), hpa);
    layer_close(layers, b);
}
END_TEST

START_TEST(frames_outside_any_layer_are_refused)
{
    struct layer *a = new_layer(4 * PAGE_BYTES);
    ck_assert(!layers_get(layers, 0, 1, 1));
    ck_assert(!layers_get(layers, layer_hpa(a) + 4 * PAGE_BYTES, 1, 1));
    ck_assert(!layers_get(layers, layer_hpa(a) + 3 * PAGE_BYTES, 1, 2));
    ck_assert(!layers_get(layers, layer_hpa(a), 2, 1));
    ck_assert(!layers_get(layers, UINT64_C(1) << 60, 1, 1));
    ck_assert_uint_eq(layers_live_bytes(layers), 0);
    layer_close(layers, a);
}
END_TEST

START_TEST(a_page_lives_while_any_level_counts_it)
{
    struct layer *a = new_layer(2 * LAYER_ALIGN);
    uint64_t hpa = layer_hpa(a);
    ck_assert(layers_get(layers, hpa, 3, 2));
    ck_assert_uint_eq(layers_live_bytes(layers), 2 * LAYER_ALIGN);
    ck_assert(layers_get(layers, hpa, 2, 2)); /* as in splitting: the lower level first */
    ck_assert(layers_get(layers, hpa + 5 * PAGE_BYTES, 1, 3));
    ck_assert_uint_eq(layers_live_bytes(layers), 2 * LAYER_ALIGN);
    layers_put(layers, hpa, 3, 2);
    ck_assert_uint_eq(layers_live_bytes(layers), 2 * BLOCK_BYTES);
    layers_put(layers, hpa, 2, 1);
    ck_assert_uint_eq(layers_live_bytes(layers), BLOCK_BYTES + 3 * PAGE_BYTES);
    layers_put(layers, hpa + 5 * PAGE_BYTES, 1, 3);
    layers_put(layers, hpa + BLOCK_BYTES, 2, 1);
    ck_assert_uint_eq(layers_live_bytes(layers), 0);
    layer_close(layers, a);
}
END_TEST

START_TEST(pages_and_the_block_around_them_count_each_page_once)
{
    struct layer *a = new_layer(BLOCK_BYTES + 10 * PAGE_BYTES); /* the second block is cut off */
    uint64_t hpa = layer_hpa(a);
    for (int round = 0; round < 2; round++) {
        ck_assert(layers_get(layers, hpa + 5 * PAGE_BYTES, 1, 3));
        ck_assert_uint_eq(layers_live_bytes(layers), 3 * PAGE_BYTES);
        ck_assert(layers_get(layers, hpa, 2, 1));
        ck_assert_uint_eq(layers_live_bytes(layers), BLOCK_BYTES);
        layers_put(layers, hpa, 2, 1);
        ck_assert_uint_eq(layers_live_bytes(layers), 3 * PAGE_BYTES);
        layers_put(layers, hpa + 5 * PAGE_BYTES, 1, 3);
        ck_assert_uint_eq(layers_live_bytes(layers), 0);
    }
    layer_close(layers, a);
}
END_TEST

START_TEST(dead_pages_go_back_to_the_kernel_and_living_ones_stay)
{
    struct layer *a = new_layer(BLOCK_BYTES);
    int fd = layer_fd(a);
    char *memory = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    memset(memory, 7, BLOCK_BYTES);
    ck_assert(layers_get(layers, layer_hpa(a), 1, 512));
    ck_assert_uint_eq(resident(fd), 512);
    layers_put(layers, layer_hpa(a) + 100 * PAGE_BYTES, 1, 50);
    layers_put(layers, layer_hpa(a) + 300 * PAGE_BYTES, 1, 1);
    settle();
    background_drain(background);
    ck_assert_uint_eq(resident(fd), 512 - 51);
    ck_assert_int_eq(memory[99 * PAGE_BYTES], 7);
    ck_assert_int_eq(memory[150 * PAGE_BYTES], 7);
    munmap(memory, BLOCK_BYTES);
    layers_put(layers, layer_hpa(a), 1, 100);
    layers_put(layers, layer_hpa(a) + 150 * PAGE_BYTES, 1, 150);
    layers_put(layers, layer_hpa(a) + 301 * PAGE_BYTES, 1, 211);
    layer_close(layers, a);
}
END_TEST

START_TEST(a_layer_goes_with_its_last_reference_once_closed)
{
    struct layer *a = new_layer(BLOCK_BYTES);
    uint64_t hpa = layer_hpa(a), offset, bytes;
    int fd = layer_fd(a), found;
    ck_assert(layers_get(layers, hpa, 2, 1));
    layer_close(layers, a);
    settle();
    ck_assert(layers_find(layers, hpa, &found, &offset, &bytes));
    layers_put(layers, hpa, 2, 1);
    settle();
    background_drain(background);
    ck_assert(!layers_find(layers, hpa, &found, &offset, &bytes));
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

START_TEST(layers_cannot_change_their_size)
{
    struct layer *a = new_layer(BLOCK_BYTES);
    ck_assert_int_ne(ftruncate(layer_fd(a), 0), 0);
    ck_assert_int_ne(ftruncate(layer_fd(a), 2 * BLOCK_BYTES), 0);
    layer_close(layers, a);
}
END_TEST

START_TEST(published_pages_are_found_in_their_layer_and_become_read_only)
{
    uint64_t hpa, offset, bytes;
    void *memory;
    int fd;
    bool block = _i;
    ck_assert_int_eq(arena_allocate(arena, 3, block, &hpa, &memory, &failure), 0);
    memset(memory, 42, 3 * PAGE_BYTES);
    ck_assert(layers_get(layers, hpa, 1, 3));
    settle();
    background_drain(background);
    ck_assert(layers_find(layers, hpa + 2 * PAGE_BYTES, &fd, &offset, &bytes));
    char byte = 0;
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    ck_assert_int_eq(byte, 42);
    /* read(2) into a page that may not be written fails instead of raising a signal */
    int zero = open("/dev/zero", O_RDONLY);
    ck_assert_int_eq(read(zero, memory, 1), -1);
    close(zero);
    layers_put(layers, hpa, 1, 3);
}
END_TEST

START_TEST(blocks_are_aligned_and_apart_from_single_pages)
{
    uint64_t page, block, next;
    void *memory;
    ck_assert_int_eq(arena_allocate(arena, 1, false, &page, &memory, &failure), 0);
    ck_assert_int_eq(arena_allocate(arena, 512, true, &block, &memory, &failure), 0);
    ck_assert_uint_eq(block % BLOCK_BYTES, 0);
    ck_assert_int_eq(arena_allocate(arena, 1, false, &next, &memory, &failure), 0);
    ck_assert_uint_eq(next, page + PAGE_BYTES);
    arena_unallocate(arena, next, 1);
    ck_assert_int_eq(arena_allocate(arena, 2, false, &page, &memory, &failure), 0);
    ck_assert_uint_eq(page, next);
}
END_TEST

START_TEST(a_run_larger_than_the_arena_gets_one_of_its_own)
{
    uint64_t hpa, offset, bytes;
    void *memory;
    int fd;
    uint64_t pages = 3 * LAYER_ALIGN / PAGE_BYTES;
    ck_assert_int_eq(arena_allocate(arena, pages, false, &hpa, &memory, &failure), 0);
    ck_assert(layers_find(layers, hpa + (pages - 1) * PAGE_BYTES, &fd, &offset, &bytes));
}
END_TEST

START_TEST(frames_are_read_across_layers_and_whatever_is_written_later)
{
    struct layer *a = new_layer(LAYER_ALIGN), *b = new_layer(3 * PAGE_BYTES);
    ck_assert_uint_eq(layer_hpa(b), layer_hpa(a) + LAYER_ALIGN); /* contiguous */
    for (int round = 1; round < 3; round++) {
        char bytes[4 * PAGE_BYTES], wanted[4 * PAGE_BYTES];
        memset(wanted, round, sizeof wanted);
        uint64_t last = LAYER_ALIGN - 2 * PAGE_BYTES;
        ck_assert_int_eq(pwrite(layer_fd(a), wanted, 2 * PAGE_BYTES, (off_t)last), 2 * PAGE_BYTES);
        ck_assert_int_eq(pwrite(layer_fd(b), wanted, 2 * PAGE_BYTES, 0), 2 * PAGE_BYTES);
        ck_assert_int_eq(layers_read(layers, layer_hpa(a) + last, bytes, sizeof bytes, false, &failure), 0);
        ck_assert_mem_eq(bytes, wanted, sizeof bytes);
        uint64_t end = layer_hpa(b) + 2 * PAGE_BYTES;
        ck_assert_int_lt(layers_read(layers, end, bytes, 2 * PAGE_BYTES, false, &failure),
                         0); /* half of it is no frame */
        ck_assert_int_eq(failure.kind, CLEAVE_INTERNAL);
    }
    layer_close(layers, a);
    layer_close(layers, b);
}
END_TEST

START_TEST(frames_are_read_where_there_is_no_room_to_map_them)
{
    struct layer *layer = new_layer(LAYER_ALIGN);
    char written[] = "the frame's bytes", read[sizeof written];
    ck_assert_int_eq(pwrite(layer_fd(layer), written, sizeof written, PAGE_BYTES), sizeof written);
    struct rlimit before, none = {0, 0};
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    none.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
    int result = layers_read(layers, layer_hpa(layer) + PAGE_BYTES, read, sizeof read, false, &failure);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_int_eq(result, 0);
    ck_assert_str_eq(read, written);
    layer_close(layers, layer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_layer");
    TCase *tests = tcase_create("layers");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, layers_do_not_overlap_and_are_aligned);
    tcase_add_test(tests, hpas_of_a_closed_layer_are_used_again);
    tcase_add_test(tests, frames_outside_any_layer_are_refused);
    tcase_add_test(tests, a_page_lives_while_any_level_counts_it);
    tcase_add_test(tests, pages_and_the_block_around_them_count_each_page_once);
    tcase_add_test(tests, dead_pages_go_back_to_the_kernel_and_living_ones_stay);
    tcase_add_test(tests, a_layer_goes_with_its_last_reference_once_closed);
    tcase_add_test(tests, layers_cannot_change_their_size);
    tcase_add_loop_test(tests, published_pages_are_found_in_their_layer_and_become_read_only, 0, 2);
    tcase_add_test(tests, blocks_are_aligned_and_apart_from_single_pages);
    tcase_add_test(tests, a_run_larger_than_the_arena_gets_one_of_its_own);
    tcase_add_test(tests, frames_are_read_across_layers_and_whatever_is_written_later);
    tcase_add_test(tests, frames_are_read_where_there_is_no_room_to_map_them);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
