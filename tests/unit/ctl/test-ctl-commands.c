/* The table of commands: its rows are whole, and parsing, help and completions come from them. */

#include <fcntl.h>
#include <sys/wait.h>

#include "ctl/commands/commands.h"
#include "ctl/ctl.h"
#include "ctl/help.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

START_TEST(every_row_is_whole) {
        for (size_t i = 0; i < commands.n; i++) {
                const struct ctl_command *command = commands.commands[i];

                ck_assert(!strempty(command->name) && command->run);
                ck_assert_msg(!strempty(command->help) && !strchr(command->help, '\n') &&
                                      !has_suffix(command->help, "."),
                              "%s", command->name);
                ck_assert_msg(strlen(command->help) <= 80, "%s", command->name);
                ck_assert_uint_le(command->n_options + n_ctl_global_options, CTL_OPTIONS_MAX);
                ck_assert_ptr_eq(ctl_find_command(&commands, command->name), command);
                for (size_t k = 0; k < command->n_arguments; k++) {
                        const struct ctl_argument *argument = &command->arguments[k];

                        ck_assert(!strempty(argument->name) && argument->kind != CTL_NONE);
                        ck_assert((argument->kind == CTL_WORD) == (argument->words != NULL));
                        ck_assert(!argument->repeats || k + 1 == command->n_arguments);
                        ck_assert(k == 0 || argument->is_optional || !command->arguments[k - 1].is_optional);
                }
        }
        for (int exit = CTL_OK; exit < CTL_EXIT_MAX; exit++)
                ck_assert_msg(!strempty(ctl_exit_help[exit]), "exit status %d", exit);
}
END_TEST

START_TEST(every_option_is_whole) {
        for (size_t i = 0; i < commands.n; i++) {
                const struct ctl_option *option, *other;

                for (size_t k = 0; (option = ctl_option_at(commands.commands[i], k)); k++) {
                        ck_assert_msg(!strempty(option->name) && !strempty(option->help), "%s",
                                      commands.commands[i]->name);
                        ck_assert_msg((option->kind == CTL_NONE) == !option->argument, "%s", option->name);
                        ck_assert_msg((option->kind == CTL_WORD) == (option->words != NULL), "%s",
                                      option->name);
                        for (size_t m = 0; m < k; m++) {
                                other = ctl_option_at(commands.commands[i], m);
                                ck_assert_msg(!streq(option->name, other->name) &&
                                                      (!option->letter || option->letter != other->letter),
                                              "%s: --%s and --%s", commands.commands[i]->name, option->name,
                                              other->name);
                        }
                }
        }
}
END_TEST

#define ARGUMENTS_MAX 8

static int parse(struct ctl *ctl, const char *const *words) {
        static char *argv[ARGUMENTS_MAX + 2]; /* borrowed by CTL, and permuted */
        int argc = 1;

        argv[0] = (char *)(uintptr_t) "rekeyctl";
        for (; words[argc - 1]; argc++)
                argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argv[argc] = NULL;
        *ctl = (struct ctl) { .table = &commands };
        return ctl_parse(ctl, argc, argv);
}

START_TEST(mistakes_are_refused) {
        static const char *const rows[][ARGUMENTS_MAX] = {
                { "stauts" },
                { "-x" },
                { "--sockte", "/x" },
                { "status", "--foo" },
                { "status", "--jsno" },
                { "status", "--json=yes" },
                { "status", "-s" },
                { "--socket" },
                { "show" },
                { "show", "a", "b" },
                { "show", "../etc/passwd" },
                { "show", "" },
                { "show", "-" },
                { "show", ".hidden" },
                { "show", "a/b" },
                { "show", "01234567890123456789012345678901234567890123456789012345678901234" },
                { "check", "--warning", "14" },
                { "check", "--warning", "-1d" },
                { "check", "--warning", "0" },
                { "history", "orders", "-n", "x" },
                { "history", "orders", "-n", "0" },
                { "history", "orders", "-n", "1000001" },
                { "help", "nothing" },
                { "completion", "csh" },
                { "version", "more" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(ctl_clear) struct ctl ctl;

                ck_assert_msg(parse(&ctl, rows[i]) == -EINVAL, "%s %s", rows[i][0],
                              rows[i][1] ? rows[i][1] : "");
        }
}
END_TEST

/* Whoever listens at the usual socket has another configuration than one that names none. */
START_TEST(the_socket_is_the_configuration_s) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "rekeyd.yaml");
        static const struct {
                const char *text, *socket;
        } rows[] = {
                { "control: {socket: /x}\n", "/x" },
                { "connectors: {}\n", NULL },
                { "nonsense\n", CTL_SOCKET },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(ctl_clear) struct ctl ctl;

                scratch_write(scratch, "rekeyd.yaml", rows[i].text, 0600);
                ck_assert_int_eq(parse(&ctl, (const char *const[]) { "-c", path, NULL }), 0);
                ck_assert_pstr_eq(ctl_socket(&ctl), rows[i].socket);
        }
}
END_TEST

START_TEST(what_is_right_is_understood) {
        _cleanup_(ctl_clear) struct ctl nothing, everywhere, limits, late;

        ck_assert_int_eq(parse(&nothing, (const char *const[]) { NULL }), 0);
        ck_assert_str_eq(nothing.command->name, "status");
        ck_assert_uint_eq(nothing.n_arguments, 0);
        ck_assert(!ctl_has(&nothing, "json") && !ctl_text(&nothing, "socket"));
        ck_assert_str_eq(ctl_config_path(&nothing), CTL_CONFIG);

        ck_assert_int_eq(parse(&everywhere, (const char *const[]) { "-s", "/x", "status", "b", "--json", "a",
                                                                    "-c", "/y", NULL }),
                         0);
        ck_assert_str_eq(ctl_text(&everywhere, "socket"), "/x");
        ck_assert_str_eq(ctl_socket(&everywhere), "/x");
        ck_assert_str_eq(ctl_config_path(&everywhere), "/y");
        ck_assert(ctl_has(&everywhere, "json"));
        ck_assert_uint_eq(everywhere.n_arguments, 2);
        ck_assert_str_eq(everywhere.arguments[0], "b");
        ck_assert_str_eq(everywhere.arguments[1], "a");
        ck_assert_ptr_null(everywhere.arguments[2]);

        ck_assert_int_eq(parse(&limits, (const char *const[]) { "check", "--warning=2d", "orders", "--crit",
                                                                "1h", NULL }),
                         0);
        ck_assert_uint_eq(ctl_usec(&limits, "warning"), 2 * USEC_PER_DAY);
        ck_assert_uint_eq(ctl_usec(&limits, "critical"), USEC_PER_HOUR);

        ck_assert_int_eq(parse(&late, (const char *const[]) { "history", "-n5", "--", "orders", NULL }), 0);
        ck_assert_uint_eq(ctl_number(&late, "lines"), 5);
        ck_assert_str_eq(late.arguments[0], "orders");
}
END_TEST

/* What a shell says to a script: its exit status; -1 where there is no such shell. */
static int ask_shell(const char *shell, const char *script) {
        char path[] = "/tmp/rekeyctl-completion-XXXXXX";
        int fd = mkostemp(path, O_CLOEXEC), status = 0;
        pid_t pid;

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, script, strlen(script)), (ssize_t)strlen(script));
        close(fd);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                execlp(shell, shell, "-n", path, (char *)NULL);
                _exit(127);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        unlink(path);
        ck_assert(WIFEXITED(status));
        return WEXITSTATUS(status) == 127 ? -1 : WEXITSTATUS(status);
}

static char *completion_of(const char *shell) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        ck_assert_int_eq(completion_write(out, &commands, shell), 0);
        fclose(out);
        return text;
}

START_TEST(shells_take_the_completions) {
        ck_assert_int_eq(completion_write(stdout, &commands, "csh"), -EINVAL);
        ck_assert_int_ne(ask_shell("sh", "if then ("), 0); /* the test can fail */
        for (const char *const *shell = completion_shells; *shell; shell++) {
                _cleanup_(freep) char *script = completion_of(*shell);
                int status = ask_shell(*shell, script);

                if (status < 0)
                        test_skip("there is no %s", *shell);
                else
                        ck_assert_int_eq(status, 0);
        }
}
END_TEST

START_TEST(completions_have_all_that_help_has) {
        _cleanup_(freep) char *bash = completion_of("bash"), *zsh = completion_of("zsh"),
                              *fish = completion_of("fish");

        for (size_t i = 0; i < commands.n; i++) {
                const struct ctl_command *command = commands.commands[i];
                _cleanup_(freep) char *row = NULL;

                ck_assert_int_ge(asprintf(&row, "        '%s:", command->name), 0);
                ck_assert_msg(!strstr(zsh, row) == command->is_hidden, "%s", command->name);
                free(take_ptr(row));
                ck_assert_int_ge(asprintf(&row, "-n __fish_use_subcommand -a %s -d ", command->name), 0);
                ck_assert_msg(!strstr(fish, row) == command->is_hidden, "fish: %s", command->name);
                for (size_t k = 0; !command->is_hidden && k < command->n_options; k++) {
                        _cleanup_(freep) char *option = NULL;

                        ck_assert_int_ge(asprintf(&option, "--%s", command->options[k].name), 0);
                        ck_assert_msg(strstr(bash, option), "bash: %s", option);
                        ck_assert_msg(strstr(zsh, option), "zsh: %s", option);
                        free(take_ptr(option));
                        ck_assert_int_ge(asprintf(&option, "-n '__fish_seen_subcommand_from %s' -l %s ",
                                                  command->name, command->options[k].name),
                                         0);
                        ck_assert_msg(strstr(fish, option), "fish: %s", option);
                }
        }
}
END_TEST

TEST_MAIN("ctl-commands", every_row_is_whole, every_option_is_whole, mistakes_are_refused,
          the_socket_is_the_configuration_s, what_is_right_is_understood, shells_take_the_completions,
          completions_have_all_that_help_has)
