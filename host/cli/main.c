/* main.c — the table of commands.  A new command is one file and one row here. */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>

enum { MOST_COMMANDS = 16 };

static int list_commands(command *commands)
{
    int n = 0;
    commands[n++] = command_segment();
    commands[n++] = command_features();
    commands[n++] = command_text();
    commands[n++] = command_eval();
    commands[n++] = command_merge();
    commands[n++] = command_bench();
    commands[n++] = command_demo();
    commands[n++] = command_info();
    commands[n++] = command_verify();
    commands[n++] = command_doctor();
    return n;
}

static void overview(FILE *stream, const command *commands, int count)
{
    fputs("t2d — open-vocabulary segmentation with Talk2DINO\n\nusage: t2d COMMAND [options]\n\n", stream);
    for (int i = 0; i < count; i++) fprintf(stream, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\nt2d COMMAND --help explains a command, t2d --version names the version.\n"
          "exit codes: 0 good, 1 failed, 2 misuse, 3 bad input, 4 no such device, 5 some pictures failed\n",
          stream);
}

static int explain(const command *c)
{
    printf("usage: t2d %s %s\n\n%s\n", c->name, c->arguments, c->details);
    args_help(stdout, c->options, c->option_count);
    return EXIT_GOOD;
}

static bool asks_help(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

static int run(int argc, char **argv)
{
    command commands[MOST_COMMANDS];
    const int count = list_commands(commands);
    if (argc < 2) {
        overview(stderr, commands, count);
        return EXIT_MISUSE;
    }
    const bool help = strcmp(argv[1], "help") == 0;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (help && argc == 2)) {
        overview(stdout, commands, count);
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("t2d %s\n", t2d_version());
        return EXIT_GOOD;
    }
    const char *name = help ? argv[2] : argv[1];
    for (int i = 0; i < count; i++) {
        if (strcmp(commands[i].name, name) != 0) continue;
        if (help || asks_help(argc, argv)) return explain(&commands[i]);
        t2d_error err;
        int operands;
        if (args_read(argc - 1, argv + 1, commands[i].options, commands[i].option_count, &operands, &err) !=
            T2D_OK)
            return complain(EXIT_MISUSE, &err);
        return commands[i].run(&commands[i], operands, argv + 1);
    }
    return complain_text(EXIT_MISUSE, "there is no command '%s'; t2d --help lists them", name);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error with a sentence */
    const int code = run(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_GOOD)
        return complain_text(EXIT_FAILED, "standard output cannot be written");
    return code;
}
