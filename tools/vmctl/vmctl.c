/* vmctl: controls a running vmm from the command line; see vmctl(1) for what it offers. The exit status is 0, or one of
 * those in vmctl.h. */
#include "tools/vmctl/command_line.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static struct arguments arguments; /* what it points at is never freed */
    struct client_error error;
    setlocale(LC_CTYPE, "");
    const struct subcommand *subcommand = command_line_read(&arguments, argc, argv);
    bool local = subcommand->options & WITHOUT_VMM;
    struct client *client = local ? NULL : client_open(arguments.socket, 0, &error);
    if (!client && !local) {
        fprintf(stderr, "vmctl: %s\n", error.text);
        return EXIT_REFUSED;
    }
    int result = subcommand->run(client, &arguments);
    if (client)
        client_close(client);
    if (fflush(stdout) == EOF || ferror(stdout)) {
        fprintf(stderr, "vmctl: cannot write the output: %s\n", strerror(errno));
        return EXIT_REFUSED;
    }
    return result < 0 ? EXIT_REFUSED : result;
}
