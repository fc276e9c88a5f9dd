/* Where the program's messages go: see log_writer.h. */
#include "vmm/log_writer.h"

#include "vmm/base/outlet.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROOM         (128u << 10)
#define NOTE_ROOM    128
#define GIVE_UP_SECS 5

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under lock: */
static struct outlet *outlet; /* NULL: written directly */
static bool stuck;            /* nothing is written any more */
static uint64_t dropped;      /* messages that found no room and have not been told of */

/* "vmm: MESSAGE" and a newline; its length. */
static size_t format_line(char *line, size_t room, const char *message)
{
    const int length = snprintf(line, room - 1, "vmm: %s", message);
    size_t end = length < 0 ? 0 : (size_t)length < room - 2 ? (size_t)length : room - 2;
    line[end++] = '\n';
    return end;
}

/* Under the lock: in the place of those that are missing. False: there is no room for it yet. */
static bool tell_dropped(void)
{
    if (!dropped || !outlet)
        return true;
    char note[NOTE_ROOM], line[NOTE_ROOM];
    snprintf(note, sizeof note, "%" PRIu64 " messages were dropped here while nobody read them", dropped);
    if (!outlet_add(outlet, line, format_line(line, sizeof line, note)))
        return false;
    dropped = 0;
    return true;
}

static void on_drained(void *context)
{
    (void)context;
    pthread_mutex_lock(&lock);
    tell_dropped();
    pthread_mutex_unlock(&lock);
}

static void take(enum cleave_log_level level, const char *message)
{
    (void)level;
    char line[CLEAVE_LOG_MESSAGE_MAX + 16];
    const size_t length = format_line(line, sizeof line, message);
    pthread_mutex_lock(&lock);
    const bool direct = !outlet && !stuck;
    if (outlet && (!tell_dropped() || !outlet_add(outlet, line, length)))
        dropped++;
    pthread_mutex_unlock(&lock);
    if (direct && write(STDERR_FILENO, line, length) < 0)
        return; /* nowhere left to complain */
}

void log_writer_init(enum cleave_log_level level)
{
    cleave_set_log(take, level);
}

int log_writer_start(void)
{
    const struct outlet_user user = {.drained = on_drained};
    outlet = outlet_new(STDERR_FILENO, ROOM, "log", &user);
    return outlet ? 0 : -1;
}

void log_writer_end(void)
{
    if (!outlet)
        return;
    const bool given_up = outlet_end(outlet, GIVE_UP_SECS);
    pthread_mutex_lock(&lock);
    stuck = given_up;
    outlet = NULL;
    pthread_mutex_unlock(&lock);
}
