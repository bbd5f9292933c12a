/*
 * The native protocol of the journal, through libsystemd: one entry with a message id and fields, instead of
 * a line that a reader would have to parse. Two things are left to the journal: the time, and the bytes of a
 * text as they are, since it stores them and its readers escape them.
 */

#include "daemon/loop/journald.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#define FIELDS_MAX 24u /* of one entry */

/* systemd.exec(5): JOURNAL_STREAM has device and inode of the stream that stdout or stderr was connected to.
 * Both must be compared: the variable is inherited by programs whose stderr was sent elsewhere. */
static bool is_connected(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

struct entry {
        struct iovec items[FIELDS_MAX];
        char *texts[FIELDS_MAX];
        int n;
};

static void entry_clear(struct entry *entry) {
        for (int i = 0; i < entry->n; i++)
                free(entry->texts[i]);
}

static int add(struct entry *entry, const char *name, const char *value) {
        int n;

        if (!value)
                return 0;
        if (entry->n == FIELDS_MAX)
                return -E2BIG;
        n = asprintf(&entry->texts[entry->n], "%s=%s", name, value);
        if (n < 0)
                return -ENOMEM;
        entry->items[entry->n].iov_base = entry->texts[entry->n];
        entry->items[entry->n].iov_len = (size_t)n;
        entry->n++;
        return 0;
}

static int write_entry(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                       const char *message) {
        _cleanup_(entry_clear) struct entry entry = { 0 };
        char level[2] = { (char)('0' + priority), '\0' };
        int r;

        r = add(&entry, "MESSAGE", message);
        if (r == 0)
                r = add(&entry, "PRIORITY", level);
        if (r == 0)
                r = add(&entry, "SYSLOG_IDENTIFIER", "rekeyd");
        if (r == 0)
                r = add(&entry, "MESSAGE_ID", message_id);
        for (size_t i = 0; i < n_fields && r == 0; i++)
                r = add(&entry, fields[i].name, fields[i].value);
        return r < 0 ? r : sd_journal_sendv(entry.items, entry.n);
}

const struct log_journal journald = { .is_connected = is_connected, .write = write_entry };
