/* A model of the guest `random`: see kvm_random.h. */
#include "tests/support/kvm_random.h"

#include "tests/support/rounds.h"

#include <stdlib.h>
#include <string.h>

#define PAGE         4096
#define HEADER_BYTES offsetof(struct random_state, history)
#define CHUNK_PAGES  16 /* as much as one read-memory gives */

struct model {
    struct random_state state;       /* of the guest, as last read */
    uint64_t step, key;              /* the model: so many steps are replayed, and this is the next one's key */
    uint64_t entries;                /* of the history that are mixed into the key */
    uint64_t (*words)[RANDOM_SLOTS]; /* by page; NULL before the first sync */
};

struct model *model_new(void)
{
    struct model *model = calloc(1, sizeof *model);
    ck_assert_ptr_nonnull(model);
    return model;
}

static uint64_t (*new_words(uint64_t pages))[RANDOM_SLOTS]
{
    void *words = calloc(pages, sizeof(uint64_t[RANDOM_SLOTS]));
    ck_assert_ptr_nonnull(words);
    return words;
}

struct model *model_copy(const struct model *from)
{
    struct model *model = model_new();
    *model = *from;
    if (from->words) {
        model->words = new_words(from->state.pages);
        memcpy(model->words, from->words, from->state.pages * sizeof *model->words);
    }
    return model;
}

void model_free(struct model *model)
{
    if (!model)
        return;
    free(model->words);
    free(model);
}

uint64_t model_pages(const struct model *model)
{
    return model->state.pages;
}

uint64_t model_step(const struct model *model)
{
    return model->step;
}

static void read_state(struct rig *rig, uint64_t guest, struct random_state *state)
{
    rig_read(rig, guest, RANDOM_STATE_GPA, HEADER_BYTES, state);
    ck_assert_msg(memcmp(state->magic, RANDOM_MAGIC, 8) == 0, "guest %llu shows no state of `random`",
                  (unsigned long long)guest);
    ck_assert_uint_le(state->entries, RANDOM_HISTORY);
    if (state->entries)
        rig_read(rig, guest, RANDOM_STATE_GPA + HEADER_BYTES, state->entries * sizeof state->history[0],
                 state->history);
}

/* Is what has been replayed a part of this state's past? */
static bool continues(const struct model *model, const struct random_state *now)
{
    const struct random_state *then = &model->state;
    if (!model->words || then->seed != now->seed || then->first != now->first || then->pages != now->pages ||
        model->step > now->step || model->entries > now->entries)
        return false;
    if (memcmp(then->history, now->history, model->entries * sizeof now->history[0]) != 0)
        return false;
    return now->entries == model->entries || now->history[model->entries].step >= model->step;
}

static void begin(struct model *model)
{
    const struct random_state *state = &model->state;
    free(model->words);
    model->words = new_words(state->pages);
    for (uint64_t page = 0; page < state->filled; page++)
        model->words[page][0] = random_fill(state->seed, page);
    model->step = model->entries = 0;
    model->key = state->seed;
}

/* The key of the step that comes next. */
static void mix_history(struct model *model)
{
    const struct random_state *state = &model->state;
    while (model->entries < state->entries && state->history[model->entries].step <= model->step)
        model->key = random_key(model->key, state->history[model->entries++].salt);
}

static struct random_action next_action(const struct model *model)
{
    const struct random_state *state = &model->state;
    return random_action(state->pages, state->run, state->fork_every, model->key, model->step);
}

void model_sync(struct model *model, struct rig *rig, uint64_t guest)
{
    static struct random_state now;
    read_state(rig, guest, &now);
    bool goes_on = continues(model, &now);
    if (!goes_on) {
        free(model->words);
        model->words = NULL;
    }
    model->state = now;
    if (!goes_on)
        begin(model);
    while (mix_history(model), model->step < now.step) {
        const struct random_action action = next_action(model);
        for (uint64_t i = 0; !action.fork && i < action.count; i++)
            model->words[action.page + i][action.slot] = random_value(model->key, model->step, action.page + i);
        model->step++;
    }
}

struct checking {
    const struct model *model;
    uint64_t guest;
    struct random_action action; /* the step that is under way */
    bool reached;                /* it has not got as far as the last page that was looked at */
};

static void check_page(struct checking *c, uint64_t page, const uint64_t *found)
{
    const struct model *model = c->model;
    uint64_t expected[RANDOM_WORDS] = {0};
    for (uint64_t slot = 0; slot < RANDOM_SLOTS; slot++)
        expected[random_word(page, slot)] = model->words[page][slot];
    if (!c->action.fork && page >= c->action.page && page < c->action.page + c->action.count) {
        uint64_t word = random_word(page, c->action.slot), value = random_value(model->key, model->step, page);
        if (found[word] == value && !c->reached)
            expected[word] = value;
        else
            c->reached = true;
    }
    if (memcmp(found, expected, PAGE) == 0)
        return;
    uint64_t word = 0;
    while (found[word] == expected[word])
        word++;
    ck_abort_msg("guest %llu, after step %llu: page %llu word %llu holds %#llx, want %#llx (seed %llu)",
                 (unsigned long long)c->guest, (unsigned long long)model->step, (unsigned long long)page,
                 (unsigned long long)word, (unsigned long long)found[word], (unsigned long long)expected[word],
                 (unsigned long long)model->state.seed);
}

void model_check(const struct model *model, struct rig *rig, uint64_t guest, uint64_t page, uint64_t count)
{
    static uint64_t found[CHUNK_PAGES][RANDOM_WORDS];
    struct checking checking = {.model = model, .guest = guest, .action = next_action(model)};
    for (uint64_t end = page + count; page < end;) {
        uint64_t n = end - page < CHUNK_PAGES ? end - page : CHUNK_PAGES;
        rig_read(rig, guest, model->state.first + page * PAGE, n * PAGE, found);
        for (uint64_t i = 0; i < n; i++)
            check_page(&checking, page + i, found[i]);
        page += n;
    }
}

void model_check_all(struct model *model, struct rig *rig, uint64_t guest)
{
    model_sync(model, rig, guest);
    model_check(model, rig, guest, 0, model->state.pages);
}

void model_check_some(const struct model *model, struct rig *rig, uint64_t guest, uint64_t share, uint64_t turn)
{
    const uint64_t run = CHUNK_PAGES;
    for (uint64_t page = turn % share * run; page + run <= model->state.pages; page += share * run)
        model_check(model, rig, guest, page, run);
}

void model_check_many(struct model *model, struct rig *rig, uint64_t guest, uint64_t turn)
{
    if (!on_slow_machine()) {
        model_check_all(model, rig, guest);
        return;
    }
    model_sync(model, rig, guest);
    model_check_some(model, rig, guest, 4, turn);
}

uint64_t random_step(struct rig *rig, uint64_t guest)
{
    struct random_state state;
    rig_read(rig, guest, RANDOM_STATE_GPA, HEADER_BYTES, &state);
    return state.step;
}

static bool started(struct rig *rig, uint64_t guest)
{
    char magic[8];
    rig_read(rig, guest, RANDOM_STATE_GPA, sizeof magic, magic);
    return memcmp(magic, RANDOM_MAGIC, sizeof magic) == 0 && random_step(rig, guest) > 0;
}

void random_wait_started(struct rig *rig, uint64_t guest)
{
    RIG_UNTIL(started(rig, guest));
}

void random_wait_steps(struct rig *rig, uint64_t guest, uint64_t steps)
{
    uint64_t until = random_step(rig, guest) + steps;
    RIG_UNTIL(random_step(rig, guest) >= until);
}
