/*
 * The command line as a table: each row gives the name, the kind, the place, the default and the help text,
 * and the parser as well as --help read the same row.
 */

#include "devconnector/settings.h"

#include <getopt.h>
#include <stdio.h>

#include "lib/util/parse.h"

enum kind {
        KIND_TEXT,
        KIND_PORT,
        KIND_DURATION,
        KIND_FLAG,
        KIND_TLS,
};

#define OPTION(option_name, option_kind, member, option_argument, option_fallback, option_help)            \
        {                                                                                                  \
                .name = (option_name), .kind = (option_kind), .offset = offsetof(struct settings, member), \
                .argument = (option_argument), .fallback = (option_fallback), .help = (option_help)        \
        }

static const struct {
        const char *name;
        enum kind kind;
        size_t offset;
        const char *argument;
        const char *fallback;
        const char *help;
} table[] = {
        OPTION("directory", KIND_TEXT, directory, "DIR", NULL,
               "directory of CA, trust bundle and revocations; required"),
        OPTION("listen", KIND_TEXT, listen, "ADDRESS", "127.0.0.1", "address of the two HTTPS endpoints"),
        OPTION("certificate-port", KIND_PORT, certificate_port, "PORT", "0",
               "endpoint for calls with a client certificate"),
        OPTION("token-port", KIND_PORT, token_port, "PORT", "0", "endpoint for calls with a one-time token"),
        OPTION("admin-port", KIND_PORT, admin_port, "PORT", "0",
               "plain HTTP on 127.0.0.1 for tokens and faults"),
        OPTION("host", KIND_TEXT, host, "NAME", "localhost",
               "host name in URLs and in the server certificate"),
        OPTION("lifetime", KIND_DURATION, lifetime, "DURATION", "90d",
               "lifetime of client certificates; seconds are allowed"),
        OPTION("ca-lifetime", KIND_DURATION, ca_lifetime, "DURATION", "365d", "lifetime of generated CAs"),
        OPTION("ca-window", KIND_DURATION, ca_window, "DURATION", "60s", "how long a loaded CA stays in use"),
        OPTION("token-lifetime", KIND_DURATION, token_lifetime, "DURATION", "5m",
               "lifetime of an application's token; a runtime's is 12 times as long"),
        OPTION("subject", KIND_TEXT, subject, "ATTRIBUTES", "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE",
               "the subject that clients must request, without CN"),
        OPTION("key-algorithm", KIND_TEXT, key_algorithm, "NAME", "rsa2048",
               "the key algorithm in `configuration`"),
        OPTION("root", KIND_FLAG, root, NULL, NULL,
               "put a root above the issuing CA (in a new directory only)"),
        OPTION("tls-max", KIND_TLS, tls_max, "1.2|1.3", "1.3", "highest TLS version of the endpoints"),
        OPTION("help", KIND_FLAG, help, NULL, NULL, "print this"),
        OPTION("version", KIND_FLAG, version, NULL, NULL, "print the version"),
};

static int set(struct settings *settings, size_t row, const char *text, struct error *error) {
        void *place = (char *)settings + table[row].offset;
        int r = 0;

        switch (table[row].kind) {
        case KIND_TEXT:
                *(const char **)place = text;
                if (strempty(text))
                        return error_set(error, -EINVAL, "--%s needs a value", table[row].name);
                break;
        case KIND_TLS:
                *(const char **)place = text;
                if (!streq(text, "1.2") && !streq(text, "1.3"))
                        return error_set(error, -EINVAL, "--%s=%s: TLS 1.2 and 1.3 are known",
                                         table[row].name, text);
                break;
        case KIND_PORT:
                r = parse_unsigned(text, 0, UINT16_MAX, place);
                if (r < 0)
                        return error_set(error, r,
                                         "--%s=%s: a port is a number from 0 (any free one) to 65535",
                                         table[row].name, text);
                break;
        case KIND_DURATION:
                r = parse_duration(text, place);
                if (r < 0)
                        return error_set(
                                error, r,
                                "--%s=%s: a duration has one number and one unit, like 90s, 5m or 30d",
                                table[row].name, text);
                break;
        case KIND_FLAG:
                *(bool *)place = true;
                break;
        }
        return 0;
}

int settings_parse(int argc, char *argv[], struct settings *ret, struct error *error) {
        struct option options[ELEMENTSOF(table) + 1] = { 0 };
        struct settings settings = { 0 };
        int index, r;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                options[i].name = table[i].name;
                options[i].has_arg = table[i].argument ? required_argument : no_argument;
                if (table[i].fallback) {
                        r = set(&settings, i, table[i].fallback, error);
                        if (r < 0)
                                return r;
                }
        }

        optind = 1;
        for (int c; (c = getopt_long(argc, argv, "", options, &index)) >= 0;) {
                if (c == '?') /* getopt_long() has named the option on stderr */
                        return error_set(error, -EINVAL,
                                         "the command line is wrong; devconnector --help lists the options");
                r = set(&settings, (size_t)index, optarg, error);
                if (r < 0)
                        return r;
        }
        if (optind < argc)
                return error_set(error, -EINVAL, "\"%s\" is not an option; devconnector --help lists them",
                                 argv[optind]);
        if (!settings.directory && !settings.help && !settings.version)
                return error_set(error, -EINVAL,
                                 "--directory is required: an empty or new directory is enough");
        *ret = settings;
        return 0;
}

void settings_print_help(void) {
        printf("devconnector --directory DIR [OPTION...]\n"
               "\n"
               "A Connector for development and tests. It is not secure and must not be used in production.\n"
               "\n");
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char left[64];

                snprintf(left, sizeof(left), "--%s%s%s", table[i].name, table[i].argument ? "=" : "",
                         table[i].argument ? table[i].argument : "");
                printf("  %-28s %s", left, table[i].help);
                if (table[i].fallback)
                        printf(" [%s]", table[i].fallback);
                putchar('\n');
        }
        printf("\n"
               "The admin listener (its URL is in the first line of stdout) takes:\n"
               "  GET /                the first line of stdout\n"
               "  POST /tokens         mint a one-time token {\"client\",\"type\",\"lifetime\"}; "
               "?format=text for the token only\n"
               "  GET /calls           the last 1000 calls\n"
               "  POST /revoke         {\"fingerprint\"}\n"
               "  POST /unpair         {\"client\"}\n"
               "  POST /rotate         replace the CA {\"key\":\"new|same\",\"dn\",\"trust\":\"both|new\"}\n"
               "  POST /faults         arm a fault {\"fault\",\"at\",\"endpoint\",\"count\",...}; GET lists, "
               "DELETE removes all\n"
               "  POST /release        release held calls\n"
               "The answer to an unknown fault lists the known ones.\n");
}
