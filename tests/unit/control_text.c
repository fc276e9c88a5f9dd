/* Bytes of any kind as JSON strings: what a guest writes must never break a reply. */
#include "tools/client/client.h"
#include "vmm/control/text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define BAD "\xEF\xBF\xBD"

static void expect_text(const char *bytes, size_t length, const char *expected)
{
    json_t *text = text_json(bytes, length);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(json_string_length(text), strlen(expected));
    ck_assert_str_eq(json_string_value(text), expected);
    char *written = json_dumps(text, JSON_ENCODE_ANY);
    ck_assert_ptr_nonnull(written); /* jansson refuses what is no UTF-8 */
    free(written);
    json_decref(text);
}

START_TEST(valid_text_stays)
{
    const char *samples[] = {"",
                             "plain\n\t\x1b[0m",
                             "caf\xC3\xA9",
                             "\xE2\x82\xAC",
                             "\xED\x9F\xBF",
                             "\xEE\x80\x80",
                             "\xEF\xBF\xBD",
                             "\xF0\x90\x80\x80",
                             "\xF4\x8F\xBF\xBF"};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        expect_text(samples[i], strlen(samples[i]), samples[i]);
}
END_TEST

START_TEST(each_invalid_byte_is_replaced)
{
    expect_text("a\xFFz", 3, "a" BAD "z");
    expect_text("\x80\xBF", 2, BAD BAD);
    expect_text("\xC3", 1, BAD);                         /* cut off */
    expect_text("\xE2\x82", 2, BAD BAD);                 /* cut off */
    expect_text("\xC3\xC3\xA9", 3, BAD "\xC3\xA9");      /* begins again in the middle */
    expect_text("\xC0\x80", 2, BAD BAD);                 /* overlong */
    expect_text("\xE0\x9F\xBF", 3, BAD BAD BAD);         /* overlong */
    expect_text("\xF0\x8F\xBF\xBF", 4, BAD BAD BAD BAD); /* overlong */
    expect_text("\xED\xA0\x80", 3, BAD BAD BAD);         /* surrogate */
    expect_text("\xF4\x90\x80\x80", 4, BAD BAD BAD BAD); /* past U+10FFFF */
    expect_text("\xF5\x80\x80\x80", 4, BAD BAD BAD BAD);
}
END_TEST

START_TEST(zero_bytes_stay)
{
    json_t *text = text_json("a\0b", 3);
    ck_assert_uint_eq(json_string_length(text), 3);
    ck_assert_mem_eq(json_string_value(text), "a\0b", 3);
    json_decref(text);
}
END_TEST

START_TEST(base64_is_standard)
{
    const char *plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar", "\xFB\xFF"};
    const char *encoded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy", "+/8="};
    for (size_t i = 0; i < 8; i++) {
        json_t *text = base64_json((const unsigned char *)plain[i], strlen(plain[i]));
        ck_assert_str_eq(json_string_value(text), encoded[i]);
        json_decref(text);
    }
}
END_TEST

START_TEST(client_decodes_what_the_server_encodes)
{
    unsigned char bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 151 + i / 7);
    for (size_t length = 0; length < sizeof bytes; length += 7) {
        json_t *text = base64_json(bytes, length);
        size_t decoded_length = 0;
        unsigned char *decoded = client_base64_decode(json_string_value(text), &decoded_length);
        ck_assert_ptr_nonnull(decoded);
        ck_assert_uint_eq(decoded_length, length);
        ck_assert_mem_eq(decoded, bytes, length);
        free(decoded);
        json_decref(text);
    }
}
END_TEST

START_TEST(client_refuses_what_is_no_base64)
{
    const char *samples[] = {"Z", "Zg=", "Zg==Zg==", "====", "Z===", "Zm9*", "Zm 9", "=m9v"};
    size_t length;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        ck_assert_ptr_null(client_base64_decode(samples[i], &length));
}
END_TEST

static bool decodes_to(const char *text, const char *expected, size_t length)
{
    unsigned char bytes[64];
    size_t count;
    if (!base64_decode(text, strlen(text), bytes, &count))
        return false;
    ck_assert_uint_eq(count, length);
    ck_assert_mem_eq(bytes, expected, length);
    return true;
}

/* RFC 4648, section 10. */
START_TEST(server_decodes_standard_base64)
{
    ck_assert(decodes_to("", "", 0));
    ck_assert(decodes_to("Zg==", "f", 1));
    ck_assert(decodes_to("Zm8=", "fo", 2));
    ck_assert(decodes_to("Zm9v", "foo", 3));
    ck_assert(decodes_to("Zm9vYg==", "foob", 4));
    ck_assert(decodes_to("Zm9vYmE=", "fooba", 5));
    ck_assert(decodes_to("+/+/AAEC", "\xfb\xff\xbf\x00\x01\x02", 6));
}
END_TEST

START_TEST(server_refuses_what_is_no_base64)
{
    static const char *const wrong[] = {"Z",    "Zg",   "Zg=",      "====", "Zg==Zg==", "Z===", "=AAA",      "Zm9v\n",
                                        "Zm 9", "Zm9-", "Zm9v====", "Zh==", "Zm9=",     "Zg=A", "\xc3\xa9Zg"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(!decodes_to(wrong[i], "", 0), "%s", wrong[i]);
}
END_TEST

START_TEST(server_decodes_what_it_encodes)
{
    unsigned char bytes[256], back[256 + 3];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37 + 11);
    for (size_t length = 1; length <= sizeof bytes; length++) {
        json_t *text = base64_json(bytes, length);
        size_t count;
        ck_assert(base64_decode(json_string_value(text), json_string_length(text), back, &count));
        ck_assert_uint_eq(count, length);
        ck_assert_mem_eq(back, bytes, length);
        json_decref(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control: text");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, valid_text_stays);
    tcase_add_test(tests, each_invalid_byte_is_replaced);
    tcase_add_test(tests, zero_bytes_stay);
    tcase_add_test(tests, base64_is_standard);
    tcase_add_test(tests, client_decodes_what_the_server_encodes);
    tcase_add_test(tests, client_refuses_what_is_no_base64);
    tcase_add_test(tests, server_decodes_standard_base64);
    tcase_add_test(tests, server_refuses_what_is_no_base64);
    tcase_add_test(tests, server_decodes_what_it_encodes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
