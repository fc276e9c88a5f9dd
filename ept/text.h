/* Writing numbers and words through an embedder's hook, without stdio. For dump. */
#ifndef EPT_TEXT_H
#define EPT_TEXT_H

#include <ept/types.h>

struct pt_text {
    pt_write_fn write;
    void *ctx;
};

static inline void pt_text_word(const struct pt_text *text, const char *word)
{
    size_t length = 0;

    /* volatile, or the compiler makes a call of strlen() of it, and there is no libc */
    while (((const volatile char *)word)[length])
        length++;
    text->write(text->ctx, word, length);
}

/* In base 10 or 16, with at least `width` digits. */
static inline void pt_text_number(const struct pt_text *text, uint64_t number, unsigned base, unsigned width)
{
    char digits[20];
    unsigned at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0 || sizeof(digits) - at < width);
    text->write(text->ctx, digits + at, sizeof(digits) - at);
}

#endif
