/* See session_target.h. */
#include "tools/ptstat/session_target.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/guest_image.h"
#include "tools/ptstat/session_call.h"
#include "tools/ptstat/target.h"
#include "tools/ptstat/terminal.h"

#include <string.h>
#include <unistd.h>

static void check_reason(const json_t *stop, const char *reason)
{
    const char *given = json_string_value(json_object_get(stop, "reason"));

    if (!given || strcmp(given, reason) != 0)
        die(EXIT_RUNTIME, "the VMM's guest stopped by '%s', where '%s' is right", given ? given : "", reason);
}

struct session *session_target_start(unsigned pages)
{
    char guest[IMAGE_PATH], memory[BYTES_TEXT];
    const char *words[SESSION_WORDS] = {"--paused", "--memory", bytes_option(memory, TARGET_MEMORY), guest};
    const int image = guest_image_file(IMAGE_TARGET, guest, sizeof(guest));
    struct workload arguments;
    struct session *session;
    json_t *stop;

    target_arguments(&arguments, pages);
    _Static_assert(SESSION_WORDS > 4 + 4, "there is room for the guest's arguments");
    for (unsigned i = 0; i < arguments.count; i++)
        words[4 + i] = arguments.text[i];
    session = session_start(words);
    close(image);
    stop = session_call(session, "run", json_pack("{s:i, s:[s]}", "guest", 0, "until", "ready"));
    check_reason(stop, "ready");
    json_decref(stop);
    session_checkpoint(session);
    return session;
}

uint64_t session_target_round(struct session *session, const struct target_input *input)
{
    const uint64_t start = now_ns();
    json_t *stop;
    uint64_t end;

    json_decref(session_call(session, "reset", json_pack("{s:i, s:b}", "guest", 0, "paused", 1)));
    json_decref(
        session_call(session, "write-memory",
                     json_pack("{s:i, s:I, s:s}", "guest", 0, "gpa", (json_int_t)TARGET_INPUT, "data", input->base64)));
    stop = session_call(session, "run", json_pack("{s:i}", "guest", 0));
    end = now_ns();
    check_reason(stop, "exit");
    target_check(input, (uint32_t)session_number(stop, "exit_code"), "the socket");
    json_decref(stop);
    client_drop_events(session->client);
    return end - start;
}
