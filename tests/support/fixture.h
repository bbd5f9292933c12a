#pragma once

/* The fixture of end-to-end tests: a real devconnector, a real rekeyd, a scratch directory, and a
 * configuration between them.
 */

#include <jansson.h>

#include "daemon/observe/messages.h"

#include "tests/support/process.h"
#include "tests/support/scratch.h"

/* For fixture_configure(): a certificate, and what makes it due at once. */
#define ORDERS                       \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    token_file: %s/token\n"
#define LARGER_KEY "    key: {bits: 3072}\n"

/* What the lines of failed attempts have in common, while each class has an id of its own. */
#define MESSAGE_FAILED " failed ("

struct fixture {
        char *directory;           /* scratch */
        struct process *connector; /* devconnector */
        struct process *rekeyd;    /* NULL until started */
        char *certificate_url, *token_url, *admin_url, *trust;
        const char *protocol;          /* fixture_protocol(); both URLs are endpoints of it */
        const char *connector_options; /* more of connector `dev`, ", timeout: 4s"; borrowed, may be NULL */
        const char *state;             /* the state directory, below `directory`; borrowed, NULL: "state" */
};

/* "6s": a lifetime that leaves time for renewals; ten times that under valgrind. Valid until the next call.
 */
const char *lifetime(unsigned seconds);

/* The programs that Meson names in the environment: NAME is "REKEYD" or "DEVCONNECTOR". Those with quick keys
 * where there are some, but for compass rekeyd has real ones with REKEYD_TEST_KEYS=real. Borrowed; aborts the
 * test when there is none. */
const char *fixture_program(const char *name);

/* Starts devconnector with --directory and free ports, plus OPTIONS (NULL-terminated, may be NULL). The macro
 * has those for certificates that live for LIFETIME: "30d". */
#define FIXTURE_LASTING(lifetime) ((const char *[]) { "--lifetime", lifetime, NULL })
struct fixture *fixture_new(const char *const *options);
struct fixture *fixture_free(struct fixture *fixture);
DEFINE_CLEANUP(struct fixture *, fixture_free);

/* A request to devconnector's admin endpoint. BODY NULL: GET, or DELETE for a path that starts with "DELETE
 * ". Aborts the test on anything but a 2xx. The reply is owned by the caller. */
json_t *fixture_admin(struct fixture *fixture, const char *path, const char *body);

/* The same, whatever the status, which *RET_STATUS tells. */
json_t *fixture_request(struct fixture *fixture, const char *path, const char *body, long *ret_status);

/* Arms a fault: JSON as devconnector's POST /faults takes it. */
void fixture_fault(struct fixture *fixture, const char *json);
void fixture_lift_faults(struct fixture *fixture);

/* Mints a one-time token for client ID and writes it to FILE in the scratch directory. */
void fixture_token(struct fixture *fixture, const char *id, const char *file);

/* Writes rekeyd.yaml: connector `dev`, JSON log at debug, 2048-bit keys that are generated when they are
 * needed, no jitter, the largest budget, and CERTIFICATES, YAML indented by two blanks, in which %s stands
 * for the scratch directory (up to eight times). */
void fixture_configure(struct fixture *fixture, const char *certificates);

/* The same, and a token for `client-1` in the file `token`. */
void fixture_prepare(struct fixture *fixture, const char *certificates);

/* The same, and a run of `rekeyd --once` that enrols. */
void fixture_enrol(struct fixture *fixture, const char *certificates);

/* Replaces FROM, which must be there, by TO everywhere in rekeyd.yaml. */
void fixture_edit(struct fixture *fixture, const char *from, const char *to);

/* Adds a control socket to rekeyd.yaml, for fixture_ctl() and for rekeyctl: control.sock in the directory. */
void fixture_add_control(struct fixture *fixture);

/* Starts rekeyd on that configuration, with OPTION (may be NULL). */
void fixture_start(struct fixture *fixture, const char *option);

/* Runs `rekeyd OPTION` to its end and returns its exit status; its output is in fixture->rekeyd. */
int fixture_run(struct fixture *fixture, const char *option);

/* Stops rekeyd by SIGTERM and returns its exit status. */
int fixture_stop(struct fixture *fixture);

/* Kills rekeyd by SIGKILL and reaps it. */
void fixture_kill(struct fixture *fixture);

/* `rekeyctl COMMAND CERTIFICATE OPTION` ends with STATUS and prints TEXT, which may be "". Asks rekeyd where
 * the configuration has a control socket and rekeyd runs, otherwise the files. */
void fixture_ctl(struct fixture *fixture, const char *command, const char *certificate, const char *option,
                 int status, const char *text);

/* What the running rekeyd answers to GET PATH ("/metrics") on its control socket; owned by the caller. A
 * metric without labels in it. Both abort the test when there is none. */
char *fixture_get(struct fixture *fixture, const char *path);
double fixture_metric(struct fixture *fixture, const char *name);

/* SIGHUP, and awaits that the configuration was reloaded. */
void fixture_reload(struct fixture *fixture);

/* The next log line of rekeyd with MESSAGE_ID, as JSON owned by the caller; aborts the test when it does not
 * come. MESSAGE_FAILED stands for all classes. */
json_t *fixture_await(struct fixture *fixture, const char *message_id);

/* The same, where only its coming matters. */
void fixture_expect(struct fixture *fixture, const char *message_id);

/* The same, with something to be said in it: a member that is TEXT; a message that has TEXT in it; a failure
 * of CLASS
 * ("rejected"), with TEXT in its error. */
void fixture_expect_member(struct fixture *fixture, const char *message_id, const char *name,
                           const char *text);
void fixture_expect_message(struct fixture *fixture, const char *message_id, const char *text);
void fixture_expect_failure(struct fixture *fixture, const char *class, const char *text);

/* Awaits a line of rekeyd's log with TEXT in it. */
void fixture_expect_text(struct fixture *fixture, const char *text);

/* The next event of devconnector that contains TEXT ("\"event\":\"held\""). */
json_t *fixture_await_connector(struct fixture *fixture, const char *text);

/* Awaits that devconnector holds a call, as a fault has it; lets all go that are held. */
void fixture_expect_held(struct fixture *fixture);
void fixture_release(struct fixture *fixture);

/* A member of OBJECT as text; "" when absent or null. Borrowed. */
const char *member(const json_t *object, const char *name);

/* What REKEYD_TEST_PROTOCOL names, "compass" without it; and one of two texts, by that. */
const char *fixture_protocol(void);
const char *by_protocol(const char *compass, const char *service);

/* Whether this is another protocol than compass; then a test that NAMES what only compass has may be left
 * out, and says so. */
bool fixture_lacks(const struct fixture *fixture, const char *names);

/* How many calls of OPERATION ("sign") devconnector has answered. */
unsigned fixture_calls(struct fixture *fixture, const char *operation);

/* fixture_start() where each call of SYSCALL takes USEC longer. NULL: it does; else why it cannot, and
 * nothing was started. */
const char *fixture_start_slow(struct fixture *fixture, const char *syscall, usec_t usec);

/* fixture_start() where strace writes each call of SYSCALLS ("fsync,fdatasync"), with the paths of its files,
 * to the file PATH. As fixture_start_slow(). */
const char *fixture_start_traced(struct fixture *fixture, const char *syscalls, const char *path);
