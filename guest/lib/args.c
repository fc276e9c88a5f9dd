/* A guest's arguments: see args.h. */
#include "guest/lib/args.h"
#include "guest/lib/console.h"

/* The length of the word at `text`, up to a space or the end. */
static size_t word_length(const char *text)
{
    size_t length = 0;
    while (text[length] && text[length] != ' ')
        length++;
    return length;
}

static const char *next_word(const char *text)
{
    text += word_length(text);
    while (*text == ' ')
        text++;
    return text;
}

/* The length of the part of a word before '='. */
static size_t key_length(const char *word)
{
    size_t length = 0;
    while (word[length] && word[length] != ' ' && word[length] != '=')
        length++;
    return length;
}

static bool same(const char *a, size_t a_length, const char *b, size_t b_length)
{
    if (a_length != b_length)
        return false;
    for (size_t i = 0; i < a_length; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static _Noreturn void bad_argument(const char *word, const char *problem)
{
    print_text("bad argument: ");
    for (size_t i = word_length(word); i > 0; i--)
        port_out8(PORT_CONSOLE, (uint8_t)*word++);
    print_text(": ");
    print_text(problem);
    print_text("\n");
    guest_exit(ARGS_EXIT);
}

/* Nothing but guest_id, generation and entropy ever changes, so the arguments need no volatile access. */
static const char *first_word(boot_info *info)
{
    const char *args = (const char *)info + offsetof(struct boot_info, args);
    return *args == ' ' ? next_word(args) : args;
}

/* The word key=value of this key, or NULL. */
static const char *find_word(boot_info *info, const char *key)
{
    for (const char *word = first_word(info); *word; word = next_word(word))
        if (same(word, key_length(word), key, word_length(key)))
            return word;
    return NULL;
}

void args_check(boot_info *info, const char *known)
{
    for (const char *word = first_word(info); *word; word = next_word(word)) {
        const size_t length = key_length(word);
        if (word[length] != '=')
            bad_argument(word, "not of the form key=value");
        const char *key = known;
        while (*key && !same(word, length, key, word_length(key)))
            key = next_word(key);
        if (!*key)
            bad_argument(word, "this guest knows no such key");
    }
}

static unsigned suffix_shift(char suffix)
{
    switch (suffix) {
    case 'K':
        return 10;
    case 'M':
        return 20;
    case 'G':
        return 30;
    default:
        return 0;
    }
}

uint64_t arg_number(boot_info *info, const char *key, uint64_t otherwise)
{
    const char *word = find_word(info, key);
    if (!word)
        return otherwise;
    const char *at = word + key_length(word) + 1;
    const char *end = word + word_length(word);
    const char *digits = at;
    uint64_t value = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        const uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            bad_argument(word, "number too large");
        value = value * 10 + digit;
    }
    if (at == digits)
        bad_argument(word, "not a number");
    const unsigned shift = at < end ? suffix_shift(*at) : 0;
    if (end - at > (shift ? 1 : 0))
        bad_argument(word, "not a number with K, M or G");
    if (value > UINT64_MAX >> shift)
        bad_argument(word, "number too large");
    return value << shift;
}

bool arg_is(boot_info *info, const char *key, const char *value)
{
    const char *word = find_word(info, key);
    if (!word)
        return false;
    const size_t start = key_length(word) + 1;
    return same(word + start, word_length(word) - start, value, word_length(value));
}

unsigned arg_choice(boot_info *info, const char *key, const char *choices)
{
    const char *word = find_word(info, key);
    if (!word)
        return 0;
    const size_t start = key_length(word) + 1;
    unsigned index = 0;
    for (const char *choice = choices; *choice; choice = next_word(choice), index++)
        if (same(word + start, word_length(word) - start, choice, word_length(choice)))
            return index;
    bad_argument(word, "not one of the values that this guest knows");
}
