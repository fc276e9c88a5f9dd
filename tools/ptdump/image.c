/* Images: see image.h. */
#include "tools/ptdump/image.h"
#include "tools/ptdump/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUALIFICATION_RIGHTS 3         /* EPT violation: bits 3 to 5 are R, W and X of the path */
#define FAULT_RESERVED       (1u << 3) /* page fault: a reserved bit was set */

/* All of the file, into memory of our own: a mapping of one that is truncated meanwhile would give a signal. */
static const char *read_all(const struct image_file *file, int fd)
{
    for (size_t done = 0; done < file->bytes;) {
        ssize_t n = pread(fd, (char *)file->memory + done, file->bytes - done, (off_t)done);
        if (n < 0)
            return strerror(errno);
        if (n == 0)
            return "the file has become shorter while it was read";
        done += (size_t)n;
    }
    return NULL;
}

/* What is wrong with the open file, or NULL. */
static const char *read_file(struct image_file *file, int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return strerror(errno);
    if (!S_ISREG(status.st_mode))
        return "not a regular file";
    if (status.st_size == 0)
        return "the file is empty";
    file->bytes = (size_t)status.st_size;
    file->memory = aligned_alloc(PT_PAGE_SIZE, (file->bytes + PT_PAGE_SIZE - 1) & ~(PT_PAGE_SIZE - 1));
    if (!file->memory)
        return strerror(ENOMEM);
    const char *wrong = read_all(file, fd);
    if (wrong)
        return wrong;
    return pt_image_open(file->memory, file->bytes, &file->image);
}

int image_file_open(struct image_file *file, const char *path, char error[IMAGE_ERROR])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */
    const char *wrong = fd < 0 ? strerror(errno) : NULL;

    *file = (struct image_file){0};
    if (fd >= 0) {
        wrong = read_file(file, fd);
        close(fd);
    }
    if (!wrong)
        return 0;
    snprintf(error, IMAGE_ERROR, "%.128s: %s", path, wrong);
    image_file_close(file);
    return -1;
}

void image_file_close(struct image_file *file)
{
    free(file->memory);
    file->memory = NULL;
}

uint64_t image_space(const struct pt_image *image)
{
    return pt_slot_size(image->levels + 1);
}

static uint64_t sign_extended(const struct pt_image *image, uint64_t address)
{
    unsigned shift = 64 - pt_slot_shift(image->levels + 1);

    return (uint64_t)((int64_t)(address << shift) >> shift);
}

bool image_address(const struct pt_image *image, uint64_t *address)
{
    if (image->format == PT_IMAGE_X86 && sign_extended(image, *address) == *address)
        *address &= image_space(image) - 1;
    return *address < image_space(image);
}

/* The rights that the whole path leaves of those of a leaf. */
static pt_prop path_rights(const struct pt_image *image, const struct walk_answer *answer)
{
    pt_prop rights = PT_U;

    if (answer->result == WALK_OK)
        return (answer->r ? PT_R : 0) | (answer->w ? PT_W : 0) | (answer->x ? PT_X : 0) | (answer->u ? PT_U : 0);
    if (image->format == PT_IMAGE_EPT)
        return (pt_prop)(answer->qualification >> QUALIFICATION_RIGHTS) & PT_RWX;
    /* Not present: nothing is left but U, which means nothing then and is shown because it is kept. */
    for (unsigned i = 0; i < answer->nsteps; i++)
        rights &= entry_prop(image->format, answer->steps[i].entry);
    return rights;
}

static enum slot_kind kind_of(const struct pt_image *image, const struct walk_answer *answer,
                              const struct walk_step *last)
{
    if (answer->result == WALK_NO_MEMORY)
        return SLOT_OUTSIDE;
    if (answer->result == WALK_MISCONFIG ||
        (answer->result == WALK_PAGE_FAULT && (answer->error_code & FAULT_RESERVED)))
        return SLOT_MISCONFIGURED;
    return entry_is_leaf(last->entry, last->level) && entry_is_live(image->format, last->entry) ? SLOT_LEAF : SLOT_HOLE;
}

void image_look(const struct pt_image *image, uint64_t address, struct walk_answer *answer, struct slot *slot)
{
    const struct walk_step *last;

    if (image->format == PT_IMAGE_EPT)
        walk_ept(&image->memory, &image->ept, address, WALK_READ, answer);
    else
        walk_x86(&image->memory, &image->x86, sign_extended(image, address), WALK_READ, answer);
    last = &answer->steps[answer->nsteps - 1]; /* at least the root's entry has been read */
    *slot = (struct slot){.kind = kind_of(image, answer, last), .level = last->level, .entry = last->entry};
    slot->bytes = pt_slot_size(last->level);
    slot->start = address & ~(slot->bytes - 1);
    if (slot->kind != SLOT_LEAF)
        return;
    slot->hpa = entry_address(last->entry, last->level);
    slot->prop = entry_prop(image->format, last->entry) & ~(PT_RWX | PT_U);
    slot->prop |= path_rights(image, answer);
}

void image_path(const struct pt_image *image, uint64_t address, struct path *path)
{
    struct walk_answer answer;

    *path = (struct path){.address = address};
    image_look(image, address, &answer, &path->slot);
    path->count = answer.nsteps;
    memcpy(path->steps, answer.steps, answer.nsteps * sizeof(answer.steps[0]));
}

bool image_each(const struct pt_image *image, uint64_t start, uint64_t end, slot_fn *fn, void *context,
                uint64_t *stopped)
{
    uint64_t left = image->tables * PT_ENTRIES;
    struct walk_answer answer;
    struct slot slot;

    for (uint64_t address = start; address < end; address = slot.start + slot.bytes) {
        if (left-- == 0) {
            *stopped = address;
            return false;
        }
        image_look(image, address, &answer, &slot);
        fn(context, &slot, 1, &answer);
    }
    return true;
}
