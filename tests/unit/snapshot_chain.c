/* Diffs and what they build on: finding parents where they were and where they went, and refusing every chain that is
 * not the one that was saved. */
#include "tests/support/snapshot_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct snapshot_case c;
static struct snapshot_error error;
static uint8_t *dirty;
static struct snapshot_result base, middle, top;

static const char *at(const char *name)
{
    return case_path(&c, name);
}

/* Changes a page and saves it as a diff. */
static struct snapshot_result save_diff(const char *path, const struct snapshot_lineage *parent,
                                        const char *parent_path)
{
    uint64_t page = case_random(&c, c.memory / SNAPSHOT_PAGE);
    case_fill(&c, page * SNAPSHOT_PAGE, SNAPSHOT_PAGE);
    dirty[page] = 1;
    return case_save_diff(&c, path, parent, parent_path, dirty, false);
}

/* base <- middle <- top, in one folder */
static void setup(void)
{
    case_open(&c, 4 * CASE_MIB, 1);
    dirty = calloc(c.memory / SNAPSHOT_PAGE, 1);
    case_fill(&c, 0, 16 * SNAPSHOT_PAGE);
    struct snapshot_job job = case_job(&c, at("base"));
    base = case_save(&job);
    middle = save_diff(at("middle"), &base.lineage, at("base"));
    top = save_diff(at("top"), &middle.lineage, at("middle"));
    ck_assert_int_eq(mkdir(at("sub"), 0700), 0);
}

static void teardown(void)
{
    static const char *const inner[] = {"sub/base", "sub/middle", "sub/top", "sub/link"};
    for (unsigned i = 0; i < 4; i++)
        unlink(at(inner[i]));
    ck_assert_int_eq(rmdir(at("sub")), 0);
    free(dirty);
    case_close(&c);
}

static void expect_refusal(const char *path, const char *phrase, const char *other)
{
    struct snapshot_chain chain;
    ck_assert_int_eq(snapshot_chain_open(&chain, path, &error), -1);
    ck_assert_int_eq(error.class, SNAPSHOT_INVALID);
    ck_assert_msg(strstr(error.text, phrase) != NULL, "no \"%s\" in: %s", phrase, error.text);
    ck_assert_msg(strstr(error.text, other) != NULL, "no \"%s\" in: %s", other, error.text);
}

START_TEST(a_chain_is_in_the_order_of_saving)
{
    struct snapshot_chain chain = case_chain(at("top"));
    ck_assert_uint_eq(chain.count, 3);
    ck_assert_int_eq(snapshot_kind(chain.files[0]), SNAPSHOT_FULL);
    ck_assert_mem_eq(snapshot_name(chain.files[0]), &base.lineage.names[0], sizeof(struct snapshot_name));
    ck_assert_mem_eq(snapshot_parent(chain.files[1]), &base.lineage.names[0], sizeof(struct snapshot_name));
    ck_assert_str_eq(snapshot_path(chain.files[2]), at("top"));
    ck_assert_str_eq(snapshot_parent_path(chain.files[2]), "middle");
    snapshot_chain_close(&chain);
    ck_assert_uint_eq(chain.count, 0);
    case_expect(at("top"), c.ram, c.memory);
}
END_TEST

START_TEST(a_folder_may_move_as_a_whole)
{
    ck_assert_int_eq(rename(at("base"), at("sub/base")), 0);
    ck_assert_int_eq(rename(at("middle"), at("sub/middle")), 0);
    ck_assert_int_eq(rename(at("top"), at("sub/top")), 0);
    case_expect(at("sub/top"), c.ram, c.memory);
    ck_assert_int_eq(symlink("sub/top", at("link")), 0); /* parents lie beside what the link leads to */
    case_expect(at("link"), c.ram, c.memory);
    ck_assert_int_eq(chdir(at("sub")), 0);
    case_expect("top", c.ram, c.memory);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(a_parent_elsewhere_is_found_there_and_then_beside_its_child)
{
    struct snapshot_chain chain = case_chain(at("middle"));
    snapshot_chain_close(&chain);
    memset(dirty, 1, c.memory / SNAPSHOT_PAGE); /* top's page too, which middle has not */
    save_diff(at("sub/top"), &middle.lineage, at("middle"));
    chain = case_chain(at("sub/top"));
    ck_assert_uint_eq(chain.count, 3);
    ck_assert_int_eq(snapshot_parent_path(chain.files[2])[0], '/');
    snapshot_chain_close(&chain);
    ck_assert_int_eq(rename(at("middle"), at("sub/middle")), 0);
    ck_assert_int_eq(rename(at("base"), at("sub/base")), 0);
    case_expect(at("sub/top"), c.ram, c.memory);
    struct snapshot_job job = case_job(&c, at("middle")); /* another file where the parent was */
    case_save(&job);
    case_expect(at("sub/top"), c.ram, c.memory);
}
END_TEST

START_TEST(a_parent_by_a_relative_path)
{
    ck_assert_int_eq(chdir(c.folder), 0);
    save_diff("sub/top", &middle.lineage, "middle");
    save_diff("top", &middle.lineage, "sub/../middle");
    struct snapshot *snapshot = case_snapshot("top");
    ck_assert_str_eq(snapshot_parent_path(snapshot), "middle");
    snapshot_close(snapshot);
    ck_assert_int_eq(chdir("/"), 0);
    snapshot = case_snapshot(at("sub/top"));
    const char *name = strrchr(snapshot_parent_path(snapshot), '/');
    ck_assert_ptr_nonnull(name);
    ck_assert_str_eq(name, "/middle");
    snapshot_close(snapshot);
    struct snapshot_chain chain = case_chain(at("sub/top"));
    snapshot_chain_close(&chain);
}
END_TEST

START_TEST(a_parent_that_is_missing_or_another_is_refused)
{
    struct snapshot_job job = case_job(&c, at("base"));
    struct forge forge;

    ck_assert_int_eq(rename(at("base"), at("sub/base")), 0);
    expect_refusal(at("top"), "middle: its parent cannot be opened: ", "/base: No such file or directory");
    case_save(&job);
    expect_refusal(at("top"), "/middle: its parent ", "/base is another snapshot (identity ");
    ck_assert_int_eq(rename(at("sub/base"), at("base")), 0);
    case_expect(at("top"), c.ram, c.memory);

    forge = case_read(at("base")); /* all of it in order, but not what was saved */
    forge.data[4096] ^= 1;
    forge_repair(&forge);
    case_write(at("base"), &forge);
    expect_refusal(at("top"), "/middle: its parent ", "/base has the right identity, but its content has been changed");
    forge.data[LAYOUT_HEADER - 1] ^= 1;
    case_write(at("base"), &forge);
    expect_refusal(at("top"), "/middle: its parent cannot be opened: ", "/base: header: its checksum is wrong");
    free(forge.data);
    ck_assert_int_eq(unlink(at("base")), 0);
    ck_assert_int_eq(mkfifo(at("base"), 0600), 0);
    expect_refusal(at("top"), "/middle: its parent cannot be opened: ", "/base: is not a regular file");
}
END_TEST

/* A file with some bytes of its machine or parent replaced, and its new name in its child: each is in order by itself.
 */
static void forge_parent(const char *parent_path, const char *child_path, enum layout_type of, size_t offset,
                         const void *bytes, size_t count)
{
    struct forge parent = case_read(parent_path), child = case_read(child_path);
    memcpy((char *)forge_content(&parent, forge_section(&parent, of)) + offset, bytes, count);
    forge_repair(&parent);
    case_write(parent_path, &parent);
    struct layout_parent *name = forge_content(&child, forge_section(&child, LAYOUT_PARENT));
    memcpy(name->id, forge_header(&parent)->id, sizeof name->id);
    name->header_checksum = forge_header(&parent)->checksum;
    forge_repair(&child);
    case_write(child_path, &child);
    free(parent.data);
    free(child.data);
}

START_TEST(a_parent_of_another_machine_is_refused)
{
    uint64_t memory = 5 * CASE_MIB;
    forge_parent(at("base"), at("middle"), LAYOUT_MACHINE, 0, &memory, sizeof memory);
    expect_refusal(at("middle"), "/middle: machine: memory is 4194304, but 5242880 in its parent ", "/base");
}
END_TEST

START_TEST(a_cycle_is_refused)
{
    struct forge forge = case_read(at("middle"));
    struct layout_parent *name = forge_content(&forge, forge_section(&forge, LAYOUT_PARENT));

    /* Its own parent. */
    memcpy(name->id, forge_header(&forge)->id, sizeof name->id);
    memcpy(name + 1, "midd", 4);
    forge_repair(&forge);
    case_write(at("midd"), &forge);
    expect_refusal(at("midd"), "/midd: parent: it builds on ", "/midd, which builds on it: a cycle");

    /* Its parent's parent: top <- middle <- top. */
    struct forge child = case_read(at("top"));
    memcpy(name->id, forge_header(&child)->id, sizeof name->id);
    forge_parent(at("middle"), at("top"), LAYOUT_PARENT, 0, name, sizeof *name);
    expect_refusal(at("top"), "/middle: parent: it builds on ", "/top, which builds on it: a cycle");
    free(child.data);
    free(forge.data);
}
END_TEST

START_TEST(a_chain_has_64_files_at_most)
{
    struct snapshot_result last = base;
    char name[16], before[16] = "base";
    memset(dirty, 1, c.memory / SNAPSHOT_PAGE);
    for (unsigned i = 1; i <= 64; i++) {
        snprintf(name, sizeof name, "%u", i);
        if (i == 64) /* no saver that knows the whole chain would go on */
            last.lineage = (struct snapshot_lineage){{last.lineage.names[63]}, 1};
        last = save_diff(at(name), &last.lineage, at(before));
        strcpy(before, name);
        if (i == 63)
            case_expect(at(name), c.ram, c.memory);
    }
    expect_refusal(at("64"), "parent: ", "builds on more than 63 files: restore it and save it in full");
}
END_TEST

/* Saving a diff over what it builds on would leave neither. */
START_TEST(a_diff_cannot_replace_what_it_builds_on)
{
    struct snapshot_job job = case_job(&c, at("base"));
    static const char *const names[] = {"base", "middle", "top", "link", "sub/../base"};

    ck_assert_int_eq(symlink("middle", at("link")), 0);
    job.kind = SNAPSHOT_DIFF;
    job.parent = &top.lineage;
    job.parent_path = at("top");
    for (unsigned i = 0; i < 5; i++) {
        job.path = at(names[i]);
        ck_assert_int_eq(snapshot_save(&job, NULL, &error), -1);
        ck_assert_int_eq(error.class, SNAPSHOT_ARGUMENT);
        ck_assert_msg(strstr(error.text, "builds on this file and so cannot replace it"), "%s", error.text);
    }
    job.path = at("other");
    case_save(&job);
    case_save(&job); /* replaces a file that it does not build on */
    case_expect(job.path, c.ram, c.memory);

    job = case_job(&c, at("base")); /* a full one may, though nothing builds on it any more then */
    case_save(&job);
    expect_refusal(at("top"), "/middle: its parent ", "is another snapshot");
}
END_TEST

/* A diff on top of base, middle and top, to `path`. */
static int save_on_top(const char *path)
{
    struct snapshot_job job = case_job(&c, path);
    job.kind = SNAPSHOT_DIFF;
    job.parent = &top.lineage;
    job.parent_path = at("top");
    return snapshot_save(&job, NULL, &error);
}

static void not_on_top(const char *name, const char *phrase)
{
    ck_assert_msg(save_on_top(at(name)) == -1, "%s", name);
    ck_assert_msg(error.class == SNAPSHOT_ARGUMENT && strstr(error.text, phrase), "%s: class %d: %s", name, error.class,
                  error.text);
}

#define BUILDS_ON "builds on this file and so cannot replace it"

static void move(const char *from, const char *to)
{
    ck_assert_int_eq(rename(at(from), at(to)), 0);
}

/* Where a file between it and the target is elsewhere just then, nothing on the disk says what the target is to it. */
START_TEST(a_diff_cannot_replace_what_it_builds_on_while_others_are_elsewhere)
{
    static const char *const names[] = {"base", "middle", "top"};
    for (unsigned away = 0; away < 3; away++) {
        move(names[away], "sub/top");
        for (unsigned i = 0; i < 3; i++)
            if (i != away)
                not_on_top(names[i], BUILDS_ON);
        move("sub/top", names[away]);
    }
    move("middle", "sub/middle");
    move("top", "sub/top");
    not_on_top("base", BUILDS_ON);
    move("sub/middle", "middle");
    move("sub/top", "top");
    case_expect(at("top"), c.ram, c.memory);
}
END_TEST

START_TEST(a_diff_cannot_replace_what_it_builds_on_under_another_name)
{
    static const char *const names[] = {"base", "middle", "top"};
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(link(at(names[i]), at("hard")), 0);
        not_on_top("hard", BUILDS_ON);
        ck_assert_int_eq(symlink("hard", at("soft")), 0);
        not_on_top("soft", BUILDS_ON);
        ck_assert_int_eq(unlink(at(names[i])), 0); /* the link is all there is of it now */
        not_on_top("hard", BUILDS_ON);
        not_on_top("soft", BUILDS_ON);
        move("hard", "renamed");
        not_on_top("renamed", BUILDS_ON);
        move("renamed", names[i]);
        ck_assert_int_eq(unlink(at("soft")), 0);

        struct forge copy = case_read(at(names[i]));
        case_write(at("copy"), &copy);
        not_on_top("copy", BUILDS_ON);
        free(copy.data);
    }
    case_expect(at("top"), c.ram, c.memory);
}
END_TEST

/* As long as its identity can be read, it may still be mended. */
START_TEST(a_diff_cannot_replace_what_it_builds_on_though_it_is_damaged)
{
    static const size_t places[] = {12, 60, 4088, 4096, 8000};
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        struct forge forge = case_read(at("base"));
        forge.data[places[i]] ^= 1;
        case_write(at("damaged"), &forge);
        free(forge.data);
        not_on_top("damaged", BUILDS_ON);
    }
    ck_assert_int_eq(unlink(at("damaged")), 0);
}
END_TEST

/* Once the file came back there would be two for one place. */
START_TEST(a_diff_does_not_take_the_place_of_what_is_elsewhere)
{
    static const char *const names[] = {"base", "middle", "top", "sub/../base"};
    for (unsigned i = 0; i < 4; i++) {
        move(names[i], "sub/top");
        not_on_top(names[i], "has its place here and is elsewhere just now");
        move("sub/top", names[i]);
    }
    move("middle", "sub/middle");
    ck_assert_int_eq(save_on_top(at("other")), 0);
    move("sub/middle", "middle");
    case_expect(at("other"), c.ram, c.memory);
}
END_TEST

START_TEST(a_diff_of_a_chain_that_is_lost_is_refused)
{
    static const char *const names[] = {"base", "middle", "top"};
    struct snapshot_job job = case_job(&c, at("another"));
    case_save(&job);
    struct forge another = case_read(at("another"));
    for (unsigned i = 0; i < 3; i++) {
        struct forge forge = case_read(at(names[i]));
        case_write(at(names[i]), &another);
        not_on_top("other", "another file has taken the place of ");
        not_on_top("base", i ? BUILDS_ON : "another file has taken the place of ");
        forge.data[100] ^= 1;
        case_write(at(names[i]), &forge);
        not_on_top("other", "another file has taken the place of ");
        forge.data[100] ^= 1;
        case_write(at(names[i]), &forge);
        free(forge.data);
    }
    free(another.data);
    ck_assert_int_eq(save_on_top(at("other")), 0);
    case_expect(at("other"), c.ram, c.memory);
}
END_TEST

static void move_base_to_other(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    if (done < total)
        move("base", "other");
}

START_TEST(a_diff_does_not_replace_what_gets_its_name_while_it_is_written)
{
    struct snapshot_job job = case_job(&c, at("other"));
    unsigned hidden;
    job.kind = SNAPSHOT_DIFF;
    job.parent = &top.lineage;
    job.parent_path = at("top");
    job.progress = move_base_to_other;
    ck_assert_int_eq(snapshot_save(&job, NULL, &error), -1);
    ck_assert_int_eq(error.class, SNAPSHOT_ARGUMENT);
    ck_assert_msg(strstr(error.text, BUILDS_ON) != NULL, "%s", error.text);
    case_files(&c, &hidden);
    ck_assert_uint_eq(hidden, 0);
    move("other", "base");
    case_expect(at("top"), c.ram, c.memory);
}
END_TEST

START_TEST(a_diff_does_not_replace_what_it_cannot_look_at)
{
    move("base", "other");
    ck_assert_int_eq(chmod(at("other"), 0200), 0);
    case_obey_modes();
    not_on_top("other", "cannot be read, but the new snapshot may build on it: Permission denied");
    ck_assert_int_eq(chmod(at("other"), 0600), 0);
    move("other", "base");
}
END_TEST

/* What a chain is called says the chain that was restored, too. */
START_TEST(the_lineage_of_a_chain_is_that_of_saving)
{
    struct snapshot_chain chain = case_chain(at("top"));
    struct snapshot_lineage lineage;
    snapshot_chain_lineage(&chain, &lineage);
    ck_assert_uint_eq(lineage.count, 3);
    ck_assert_uint_eq(top.lineage.count, 3);
    ck_assert_mem_eq(lineage.names, top.lineage.names, 3 * sizeof *lineage.names);
    ck_assert_mem_eq(&middle.lineage.names[1], &top.lineage.names[1], sizeof *lineage.names);
    snapshot_chain_close(&chain);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chains of snapshots");
    TCase *tcase = tcase_create("chains of snapshots");

    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_chain_is_in_the_order_of_saving);
    tcase_add_test(tcase, a_folder_may_move_as_a_whole);
    tcase_add_test(tcase, a_parent_elsewhere_is_found_there_and_then_beside_its_child);
    tcase_add_test(tcase, a_parent_by_a_relative_path);
    tcase_add_test(tcase, a_parent_that_is_missing_or_another_is_refused);
    tcase_add_test(tcase, a_parent_of_another_machine_is_refused);
    tcase_add_test(tcase, a_cycle_is_refused);
    tcase_add_test(tcase, a_chain_has_64_files_at_most);
    tcase_add_test(tcase, a_diff_cannot_replace_what_it_builds_on);
    tcase_add_test(tcase, a_diff_cannot_replace_what_it_builds_on_while_others_are_elsewhere);
    tcase_add_test(tcase, a_diff_cannot_replace_what_it_builds_on_under_another_name);
    tcase_add_test(tcase, a_diff_cannot_replace_what_it_builds_on_though_it_is_damaged);
    tcase_add_test(tcase, a_diff_does_not_take_the_place_of_what_is_elsewhere);
    tcase_add_test(tcase, a_diff_of_a_chain_that_is_lost_is_refused);
    tcase_add_test(tcase, a_diff_does_not_replace_what_gets_its_name_while_it_is_written);
    tcase_add_test(tcase, a_diff_does_not_replace_what_it_cannot_look_at);
    tcase_add_test(tcase, the_lineage_of_a_chain_is_that_of_saving);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
