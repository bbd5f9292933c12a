#pragma once

/* The examinations of `rekeyctl doctor`. Each adds its lines. */

#include <jansson.h>

#include "ctl/diagnosis.h"

/* What the service can use of what the configuration names: ANSWER is that of GET /v1/check-config. */
void doctor_take_prechecks(struct diagnosis *diagnosis, const json_t *answer);

/* Through which proxy rekeyd calls, from its answer. Strings are borrowed; URL NULL: without one. */
struct doctor_proxy {
        const char *url;      /* without user and password */
        const char *variable; /* which names it */
        bool has_user;        /* rekeyd has a user and a password for it */
};

/* URL is one of CONNECTOR; IS_STORED: it is not in the configuration. ANSWER may be NULL. */
struct doctor_proxy doctor_find_proxy(const json_t *answer, const char *connector, const char *url,
                                      bool is_stored);

/* One URL of CONNECTOR, by the network. IS_ENROL_URL: its `enrol_url`, which needs no certificate. SKEW_USEC:
 * how far the clocks may differ. */
void doctor_examine_url(struct diagnosis *diagnosis, const struct config_connector *connector,
                        const char *url, bool is_enrol_url, const struct doctor_proxy *proxy,
                        usec_t skew_usec);

/* THEIRS, the time of a server (0: it has named none), beside OURS at that moment. */
void doctor_judge_clock(struct diagnosis *diagnosis, const char *about, usec_t theirs, usec_t ours,
                        usec_t skew_usec);

/* STATUS is that of a certificate, of rekeyd, or of the files where IS_OFFLINE. A certificate of which all is
 * right has a line only with IS_CLOSE. */
void doctor_judge_certificate(struct diagnosis *diagnosis, const json_t *status, bool is_offline,
                              bool is_close);

/* DETAILS are those of certificate NAME: whether its dependents were notified. */
void doctor_judge_dependents(struct diagnosis *diagnosis, const char *name, const json_t *details);
