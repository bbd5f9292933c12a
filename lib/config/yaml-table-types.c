/*
 * The types an option can have: for each, how its text is read, how it is written back, and what an error
 * says would be right. Paths and URLs are never repeated in an error: a token or a password may have been
 * pasted there, and the position shows it to the users who may read the file.
 */

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/config/yaml-table-internal.h"
#include "lib/life/schedule.h"
#include "lib/util/text-stream.h"

static int store_string(struct yaml_run *run, const char *text, void *field) {
        char *copy = yaml_run_string(run, text);

        if (!copy)
                return -ENOMEM;
        *(char **)field = copy;
        return 0;
}

const char *yaml_format_string(_unused_ const struct yaml_option *option, const void *field,
                               _unused_ char buffer[YAML_TEXT_MAX]) {
        return *(char *const *)field;
}

bool yaml_equal_string(const void *a, const void *b) {
        const char *x = *(char *const *)a, *y = *(char *const *)b;

        return x == y || (x && y && streq(x, y));
}

static bool has_control(const char *text) {
        for (; *text; text++)
                if ((unsigned char)*text < 0x20 || *text == 0x7f)
                        return true;
        return false;
}

static int string_parse(struct yaml_run *run, _unused_ const struct yaml_option *option, const char *text,
                        void *field, _unused_ struct error *error) {
        return has_control(text) ? -EINVAL : store_string(run, text, field);
}

const struct yaml_type yaml_string = {
        .name = "string",
        .expected = "a text without control characters",
        .size = sizeof(char *),
        .parse = string_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

/* Removes double and trailing slashes, so that one directory has one spelling. */
static void squeeze_slashes(char *path) {
        char *to = path;

        for (const char *from = path; *from; from++)
                if (*from != '/' || to == path || to[-1] != '/')
                        *to++ = *from;
        if (to > path + 1 && to[-1] == '/')
                to--;
        *to = '\0';
}

static int path_parse(struct yaml_run *run, _unused_ const struct yaml_option *option, const char *text,
                      void *field, struct error *error) {
        _cleanup_(freep) char *path = NULL;

        if (text[0] != '/')
                return error_set(error, -EINVAL, "must be an absolute path, one that begins with '/'");
        if (has_control(text))
                return error_set(error, -EINVAL, "must be a path without control characters");
        if (strlen(text) >= PATH_MAX)
                return error_set(error, -EINVAL, "must be a path of less than %d bytes", PATH_MAX);
        path = strdup(text);
        if (!path)
                return -ENOMEM;
        squeeze_slashes(path);
        return store_string(run, path, field);
}

const struct yaml_type yaml_path = {
        .name = "absolute path",
        .expected = "an absolute path, one that begins with '/'",
        .size = sizeof(char *),
        .parse = path_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

bool yaml_is_authority(const char *text, size_t size) {
        const char *end = text + size, *colon;
        char port[6] = "";
        uint64_t number;

        if (size > 0 && *text == '[') {
                colon = memchr(text, ']', size);
                if (!colon || colon++ == text + 1 || (colon < end && *colon != ':'))
                        return false;
        } else {
                colon = memchr(text, ':', size);
                if (colon == text || memchr(text, '[', size) || memchr(text, ']', size))
                        return false;
        }
        if (!colon || colon == end)
                return size > 0;
        if ((size_t)(end - colon) > sizeof(port))
                return false;
        memcpy(port, colon + 1, (size_t)(end - colon - 1));
        return parse_unsigned(port, 1, UINT16_MAX, &number) == 0;
}

static int https_url_parse(struct yaml_run *run, _unused_ const struct yaml_option *option, const char *text,
                           void *field, struct error *error) {
        static const char scheme[] = "https://";
        const char *host = text + strlen(scheme);
        size_t n_host;

        if (strncasecmp(text, scheme, strlen(scheme)) != 0)
                return error_set(error, -EINVAL,
                                 "must begin with https://; a Connector is never called without TLS");
        n_host = strcspn(host, "/?#");
        if (memchr(host, '@', n_host))
                return error_set(error, -EINVAL,
                                 "must be without a user name or password; "
                                 "Connectors know certificates and one-time tokens only");
        if (n_host == 0 || host[0] == ':')
                return error_set(error, -EINVAL, "must name a host after https://");
        if (!yaml_is_authority(host, n_host))
                return error_set(error, -EINVAL, YAML_AUTHORITY_ADVICE);
        if (strpbrk(host, "?#"))
                return error_set(
                        error, -EINVAL,
                        "must be without '?' and '#'; put a one-time token into the file of 'token_file'");
        for (const char *p = text; *p; p++)
                if (*p <= 0x20 || *p >= 0x7f || strchr("\"<>\\^`{|}", *p))
                        return error_set(error, -EINVAL,
                                         "must be written as a URL, with blanks and special characters "
                                         "as %%20 and the like");
        return store_string(run, text, field);
}

const struct yaml_type yaml_https_url = {
        .name = "https URL",
        .expected = "a URL that begins with https://",
        .size = sizeof(char *),
        .parse = https_url_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

/* In the largest unit that gives the exact value: what is parsed is always whole milliseconds. */
static void format_duration(usec_t usec, char buffer[YAML_TEXT_MAX]) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "d", USEC_PER_DAY }, { "h", USEC_PER_HOUR },  { "m", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC }, { "ms", USEC_PER_MSEC },
        };
        size_t i = 0;

        while (i + 1 < ELEMENTSOF(units) && (usec == 0 || usec % units[i].usec != 0))
                i++;
        if (usec == 0)
                i = ELEMENTSOF(units) - 2;
        snprintf(buffer, YAML_TEXT_MAX, "%" PRIu64 "%s", usec / units[i].usec, units[i].name);
}

static bool out_of_bounds(const struct yaml_option *option, uint64_t value) {
        return value < option->min || (option->max > 0 && value > option->max);
}

static int duration_parse(_unused_ struct yaml_run *run, const struct yaml_option *option, const char *text,
                          void *field, _unused_ struct error *error) {
        usec_t usec;
        int r;

        r = parse_duration(text, &usec);
        if (r < 0)
                return r;
        if (out_of_bounds(option, usec))
                return -ERANGE;
        *(usec_t *)field = usec;
        return 0;
}

/* Where 0 is out of bounds, it stands for none. */
static const char *duration_format(const struct yaml_option *option, const void *field,
                                   char buffer[YAML_TEXT_MAX]) {
        usec_t usec = *(const usec_t *)field;

        if (usec == 0 && option->min > 0)
                return NULL;
        format_duration(usec, buffer);
        return buffer;
}

const struct yaml_type yaml_duration = {
        .name = "duration",
        .expected = "a duration such as 90s, 30m, 12h or 30d",
        .bare = true,
        .size = sizeof(usec_t),
        .parse = duration_parse,
        .format = duration_format,
};

static int duration_or_off_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                                 void *field, struct error *error) {
        if (!streq(text, "off"))
                return duration_parse(run, option, text, field, error);
        *(usec_t *)field = 0;
        return 0;
}

static const char *duration_or_off_format(const struct yaml_option *option, const void *field,
                                          char buffer[YAML_TEXT_MAX]) {
        const char *text = duration_format(option, field, buffer);

        return text ? text : "off";
}

const struct yaml_type yaml_duration_or_off = {
        .name = "duration or off",
        .expected = "a duration such as 30m, 1h or 1d, or off",
        .bare = true,
        .size = sizeof(usec_t),
        .parse = duration_or_off_parse,
        .format = duration_or_off_format,
};

static int share_or_duration_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                                   void *field, struct error *error) {
        struct share_or_usec value = { .is_share = strchr(text, '%') != NULL };
        char echo[YAML_TEXT_MAX];
        int r;

        if (!value.is_share)
                r = duration_parse(run, option, text, &value.usec, error);
        else {
                r = parse_share(text, &value.ppm);
                if (r == -ERANGE)
                        return error_set(error, r, "must be a share of the lifetime, at most 100%%, not %s",
                                         yaml_echo(text, echo));
        }
        if (r < 0)
                return r;
        *(struct share_or_usec *)field = value;
        return 0;
}

static const char *share_or_duration_format(_unused_ const struct yaml_option *option, const void *field,
                                            char buffer[YAML_TEXT_MAX]) {
        const struct share_or_usec *value = field;
        const unsigned percent = SHARE_ONE / 100;
        int n;

        if (!value->is_share) {
                format_duration(value->usec, buffer);
                return buffer;
        }
        n = snprintf(buffer, YAML_TEXT_MAX, "%u.%04u", value->ppm / percent, value->ppm % percent);
        while (buffer[n - 1] == '0')
                n--;
        if (buffer[n - 1] == '.')
                n--;
        strcpy(buffer + n, "%");
        return buffer;
}

static bool share_or_duration_equal(const void *a, const void *b) {
        const struct share_or_usec *x = a, *y = b;

        return x->is_share == y->is_share && (x->is_share ? x->ppm == y->ppm : x->usec == y->usec);
}

const struct yaml_type yaml_share_or_duration = {
        .name = "share or duration",
        .expected = "a share of the lifetime such as 33%, or a duration such as 12h or 30d",
        .bare = true,
        .size = sizeof(struct share_or_usec),
        .parse = share_or_duration_parse,
        .format = share_or_duration_format,
        .equal = share_or_duration_equal,
};

/* The index of TEXT among the option's words, or -1. */
int yaml_find_word(const struct yaml_option *option, const char *text) {
        for (size_t i = 0; i < option->n_words; i++)
                if (option->words[i] && streq(option->words[i], text))
                        return (int)i;
        return -1;
}

/* "auto, text or json" */
char *yaml_list_words(const struct yaml_option *option) {
        size_t size, left = 0, n;
        char *text = NULL;
        FILE *out = text_stream_open(&text, &size);

        if (!out)
                return NULL;
        for (size_t i = 0; i < option->n_words; i++)
                left += option->words[i] != NULL;
        n = left;
        for (size_t i = 0; i < option->n_words; i++)
                if (option->words[i]) {
                        fprintf(out, "%s%s", left == n ? "" : left == 1 ? " or " : ", ", option->words[i]);
                        left--;
                }
        return fclose(out) == 0 ? text : NULL;
}

static int unsigned_parse(_unused_ struct yaml_run *run, const struct yaml_option *option, const char *text,
                          void *field, struct error *error) {
        int word = yaml_find_word(option, text);
        char echo[YAML_TEXT_MAX];
        uint64_t value;
        int r;

        if (word >= 0) {
                *(unsigned *)field = (unsigned)word;
                return 0;
        }
        r = parse_unsigned(text, option->min, option->max > 0 ? option->max : UINT32_MAX, &value);
        if (r == -EINVAL && option->n_words > 0) {
                _cleanup_(freep) char *words = yaml_list_words(option);

                return error_set(error, r, "must be %s or a whole number, not '%s'",
                                 words ? words : "a known word", yaml_echo(text, echo));
        }
        if (r < 0)
                return r;
        *(unsigned *)field = (unsigned)value;
        return 0;
}

const char *yaml_format_unsigned(const struct yaml_option *option, const void *field,
                                 char buffer[YAML_TEXT_MAX]) {
        unsigned value = *(const unsigned *)field;

        if (value < option->n_words && option->words[value])
                return option->words[value];
        snprintf(buffer, YAML_TEXT_MAX, "%u", value);
        return buffer;
}

const struct yaml_type yaml_unsigned = {
        .name = "number",
        .expected = "a whole number",
        .bare = true,
        .size = sizeof(unsigned),
        .parse = unsigned_parse,
        .format = yaml_format_unsigned,
};

static int word_parse(_unused_ struct yaml_run *run, const struct yaml_option *option, const char *text,
                      void *field, struct error *error) {
        _cleanup_(freep) char *words = NULL;
        char echo[YAML_TEXT_MAX];
        int word = yaml_find_word(option, text);

        if (word < 0) {
                words = yaml_list_words(option);
                return error_set(error, -EINVAL, "must be %s, not '%s'", words ? words : "a known word",
                                 yaml_echo(text, echo));
        }
        *(int *)field = word;
        return 0;
}

static const char *word_format(const struct yaml_option *option, const void *field,
                               _unused_ char buffer[YAML_TEXT_MAX]) {
        int value = *(const int *)field;

        return value >= 0 && (size_t)value < option->n_words ? option->words[value] : NULL;
}

const struct yaml_type yaml_word = {
        .name = "word",
        .expected = "one of the known words",
        .size = sizeof(int),
        .parse = word_parse,
        .format = word_format,
};

static int mode_parse(_unused_ struct yaml_run *run, _unused_ const struct yaml_option *option,
                      const char *text, void *field, _unused_ struct error *error) {
        unsigned mode;

        if (parse_mode(text, &mode) < 0)
                return -EINVAL;
        *(mode_t *)field = mode;
        return 0;
}

const char *yaml_format_mode(_unused_ const struct yaml_option *option, const void *field,
                             char buffer[YAML_TEXT_MAX]) {
        snprintf(buffer, YAML_TEXT_MAX, "%04o", *(const mode_t *)field);
        return buffer;
}

const struct yaml_type yaml_mode = {
        .name = "file mode",
        .expected = "an octal file mode such as 0640",
        .bare = true,
        .size = sizeof(mode_t),
        .parse = mode_parse,
        .format = yaml_format_mode,
};

static int bool_parse(_unused_ struct yaml_run *run, _unused_ const struct yaml_option *option,
                      const char *text, void *field, _unused_ struct error *error) {
        return parse_bool(text, field);
}

static const char *bool_format(_unused_ const struct yaml_option *option, const void *field,
                               _unused_ char buffer[YAML_TEXT_MAX]) {
        return *(const bool *)field ? "true" : "false";
}

const struct yaml_type yaml_bool = {
        .name = "yes or no",
        .expected = "true or false",
        .bare = true,
        .size = sizeof(bool),
        .parse = bool_parse,
        .format = bool_format,
};

/* Both name databases through their re-entrant calls: a reload may run on a worker thread. 0, -ENOENT,
 * -errno. */
static int look_up(const char *name, bool group, unsigned *ret) {
        for (size_t room = 1024; room <= 1024 * 1024; room *= 4) {
                _cleanup_(freep) char *buffer = malloc(room);
                struct passwd user, *user_found = NULL;
                struct group entry, *group_found = NULL;
                int r;

                if (!buffer)
                        return -ENOMEM;
                if (group)
                        r = getgrnam_r(name, &entry, buffer, room, &group_found);
                else
                        r = getpwnam_r(name, &user, buffer, room, &user_found);
                if (r == ERANGE)
                        continue;
                if (!user_found && !group_found)
                        /* POSIX lets "not found" be 0 or nearly any of these, and NSS modules use them all.
                         */
                        return r == 0 || r == ENOENT || r == ESRCH || r == EBADF || r == EPERM ? -ENOENT : -r;
                *ret = group ? entry.gr_gid : user.pw_uid;
                return 0;
        }
        return -ERANGE;
}

static int look_up_once(struct yaml_run *run, const char *text, bool group, unsigned *ret) {
        const char *name = yaml_run_string(run, text);
        struct yaml_account account = { .name = name, .group = group };

        if (!name)
                return -ENOMEM;
        for (size_t i = 0; i < run->n_accounts; i++)
                if (run->accounts[i].name == name && run->accounts[i].group == group) {
                        *ret = run->accounts[i].id;
                        return run->accounts[i].code;
                }

        account.code = look_up(name, group, &account.id);
        if (yaml_grow(run, &run->accounts, run->n_accounts, sizeof(account)) < 0)
                return -ENOMEM;
        run->accounts[run->n_accounts++] = account;
        *ret = account.id;
        return account.code;
}

static int account_parse(struct yaml_run *run, const char *text, bool group, unsigned *field,
                         struct error *error) {
        const char *what = group ? "group" : "user";
        char echo[YAML_TEXT_MAX];
        unsigned id = 0;
        uint64_t number;
        int r;

        yaml_echo(text, echo);
        /* A number needs no name: containers often have ids that no database knows. -1 would mean "keep". */
        r = parse_unsigned(text, 0, UINT32_MAX - 1, &number);
        if (r == 0)
                id = (unsigned)number;
        else if (r == -ERANGE)
                return error_set(error, -EINVAL, "must be a %s name or number, and '%s' is too large for one",
                                 what, echo);
        else {
                r = look_up_once(run, text, group, &id);
                if (r == -ENOMEM)
                        return r;
                if (r == -ENOENT)
                        return error_set(
                                error, -EINVAL,
                                "names the %s '%s', which this machine does not know; create it, or correct "
                                "the name",
                                what, echo);
                if (r < 0)
                        return error_set_errno(error, r, "names the %s '%s', which cannot be looked up", what,
                                               echo);
        }
        *field = id;
        return 0;
}

static int user_parse(struct yaml_run *run, _unused_ const struct yaml_option *option, const char *text,
                      void *field, struct error *error) {
        return account_parse(run, text, false, field, error);
}

static int group_parse(struct yaml_run *run, _unused_ const struct yaml_option *option, const char *text,
                       void *field, struct error *error) {
        return account_parse(run, text, true, field, error);
}

/* As a number: it reads back to the same whatever the databases say by then. */
static const char *account_format(_unused_ const struct yaml_option *option, const void *field,
                                  char buffer[YAML_TEXT_MAX]) {
        unsigned id = *(const unsigned *)field;

        if (id == UINT32_MAX)
                return NULL;
        snprintf(buffer, YAML_TEXT_MAX, "%u", id);
        return buffer;
}

static void account_unset(void *field) {
        *(unsigned *)field = UINT32_MAX;
}

static_assert(sizeof(uid_t) == sizeof(unsigned) && sizeof(gid_t) == sizeof(unsigned),
              "accounts are 32 bits wide");

const struct yaml_type yaml_user = {
        .name = "user",
        .expected = "a user name or number",
        .bare = true,
        .size = sizeof(uid_t),
        .parse = user_parse,
        .format = account_format,
        .unset = account_unset,
};

const struct yaml_type yaml_group = {
        .name = "group",
        .expected = "a group name or number",
        .bare = true,
        .size = sizeof(gid_t),
        .parse = group_parse,
        .format = account_format,
        .unset = account_unset,
};

const struct yaml_type yaml_argv = {
        .name = "list of strings",
        .expected = "a list of strings",
        .shape = YAML_SHAPE_ARGV,
        .size = sizeof(char **),
};

const struct yaml_type yaml_words = {
        .name = "list of words",
        .expected = "a list of words",
        .shape = YAML_SHAPE_WORDS,
};

const struct yaml_type yaml_struct = { .name = "table", .expected = "a mapping", .shape = YAML_SHAPE_TABLE };
const struct yaml_type yaml_map = { .name = "named tables",
                                    .expected = "a mapping",
                                    .shape = YAML_SHAPE_MAP };
const struct yaml_type yaml_list = { .name = "list of tables",
                                     .expected = "a list",
                                     .shape = YAML_SHAPE_LIST };

void yaml_format_bound(const struct yaml_option *option, uint64_t bound, char buffer[YAML_TEXT_MAX]) {
        if (option->type == &yaml_duration || option->type == &yaml_duration_or_off ||
            option->type == &yaml_share_or_duration)
                format_duration(bound, buffer);
        else
                snprintf(buffer, YAML_TEXT_MAX, "%" PRIu64, bound);
}
