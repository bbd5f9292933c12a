/*
 * A start with thousands of sets finds out what the last run knew: parsing them and checking their signatures
 * takes most of its time. So what follows from the bytes of a set is sealed: kept in a file of the state
 * directory, under a hash of these bytes and of all else that it follows from. Who finds the same hash need
 * not look again; a set of which one bit is another has no seal, and neither has one that was verified by
 * another version. What depends on the time, on the configuration or on rights is never sealed.
 *
 * The file is a sequence of records, to which more are appended; the last one of a seal counts. Nothing of it
 * is precious: it is not synced, a record that is not whole ends it, and a file that anybody else could have
 * written is dropped. In memory there are eight bytes for a record, and the file itself until all sets were
 * inspected.
 */

#include "lib/store/seals.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/files.h"
#include "lib/util/hash.h"
#include "lib/x509/digest.h"

#define TEMPORARY "." SEALS_FILE ".rekeyd"

/* Says the version and the byte order as well. */
#define MAGIC UINT32_C(0x736c6131)

#define FILE_MAX    (256u * 1024 * 1024)
#define RECORD_MAX  4096u
#define PENDING_MAX (64u * 1024)

/* Records that no set needs are left in the file until they are as many as these and the others together. */
#define USELESS_MIN 64u

/* One record; the subjects of the issuers follow them, without an end, and then bytes that fill it up. */
struct head {
        uint32_t magic, size; /* all of it, in bytes, a multiple of UNIT */
        uint64_t check;       /* over all that comes after it */
        uint8_t seal[SEAL_SIZE];
};

struct facts {
        usec_t not_before, effective_expiry;
        uint8_t spki[SPKI_HASH_SIZE], fingerprint[FINGERPRINT_SIZE];
        uint32_t rsa_bits;
        uint8_t is_self_signed, allows_client_auth, n_issuers, unused;
};

struct issuer_facts {
        usec_t not_before, not_after;
        uint8_t fingerprint[FINGERPRINT_SIZE], spki[SPKI_HASH_SIZE];
        uint64_t subject_size;
};

#define UNIT       8u
#define RECORD_MIN (sizeof(struct head) + sizeof(struct facts))
static_assert(RECORD_MIN % UNIT == 0 && sizeof(struct issuer_facts) % UNIT == 0, "there are no gaps");

/* Where a record is, by 32 bits of its seal. */
struct place {
        uint32_t tag;
        uint32_t at; /* in UNITs, plus one; 0: none */
};

struct seals {
        pthread_mutex_t lock;
        int dir_fd, fd; /* for reading, so that a file system may become read-only; -1: nothing is written */
        struct place *table; /* open addressing */
        uint8_t *used;       /* of each place: it was found or added; NULL: not counted any more */
        size_t table_size;   /* a power of two */
        size_t n, n_found;

        char *data; /* the beginning of the file, as it was read; what is not in it is read where it is */
        size_t data_size, file_size;
        char *pending; /* to be appended */
        size_t pending_size;
};

/* --- The seal --- */

int seal_of(const char *certificate, const char *directory, const char *key_text, size_t key_size,
            const struct set *set, uint8_t ret[SEAL_SIZE]) {
        const char *const texts[] = {
                "rekeyd " REKEYD_VERSION, digest_library(), certificate,         directory,
                set->certificate_pem,     set->ca_pem,      set->connection_json
        };
        _cleanup_(digest_freep) struct digest *digest = digest_new();
        const uint32_t magic = MAGIC;

        if (!digest)
                return -ENOMEM;
        digest_add(digest, &magic, sizeof(magic));
        digest_add(digest, key_text, key_size);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                digest_add(digest, "", texts[i] ? 1 : 0); /* a file that is missing is not an empty one */
                digest_add(digest, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0);
        }
        return digest_end(digest, ret);
}

/* --- Records --- */

static uint64_t checksum(const char *record, size_t size) {
        uint64_t hash = HASH_INIT;

        for (size_t i = offsetof(struct head, seal); i < size; i++)
                hash = hash_byte(hash, (uint8_t)record[i]);
        return hash;
}

/* The size of the record at DATA, of which LEFT bytes are there; 0: it is none, or not whole. */
static size_t record_size(const char *data, size_t left) {
        struct head head;

        if (left < RECORD_MIN)
                return 0;
        memcpy(&head, data, sizeof(head));
        if (head.magic != MAGIC || head.size < RECORD_MIN || head.size > left || head.size > RECORD_MAX ||
            head.size % UNIT != 0 || head.check != checksum(data, head.size))
                return 0;
        return head.size;
}

/* SIZE bytes at *OFFSET of a record that has RECORD_SIZE. */
static bool take(const char *record, size_t record_size, size_t *offset, void *ret, size_t size) {
        if (size > record_size - *offset)
                return false;
        memcpy(ret, record + *offset, size);
        *offset += size;
        return true;
}

static int take_issuers(const char *record, size_t size, size_t offset, size_t n, struct issuers **ret) {
        struct issuer items[CERT_LIST_MAX];
        struct issuer_facts facts[CERT_LIST_MAX];
        char subjects[RECORD_MAX + CERT_LIST_MAX], *end = subjects;

        if (n > CERT_LIST_MAX || !take(record, size, &offset, facts, n * sizeof(*facts)))
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                const size_t subject_size = facts[i].subject_size;

                if (!take(record, size, &offset, end, subject_size))
                        return -EINVAL;
                items[i] = (struct issuer) {
                        .not_before = facts[i].not_before,
                        .not_after = facts[i].not_after,
                        .subject = end,
                };
                memcpy(items[i].fingerprint, facts[i].fingerprint, sizeof(items[i].fingerprint));
                memcpy(items[i].spki, facts[i].spki, sizeof(items[i].spki));
                end += subject_size;
                *end++ = '\0';
        }
        return issuers_of_facts(items, n, ret);
}

static bool read_record(const char *record, size_t size, struct set *set) {
        size_t offset = sizeof(struct head);
        struct issuers *issuers = NULL;
        struct facts facts;

        if (!take(record, size, &offset, &facts, sizeof(facts)) ||
            (facts.n_issuers > 0 && take_issuers(record, size, offset, facts.n_issuers, &issuers) < 0))
                return false;
        set->issuers = issuers;
        set->not_before = facts.not_before;
        set->effective_expiry = facts.effective_expiry;
        memcpy(set->spki, facts.spki, sizeof(set->spki));
        memcpy(set->fingerprint, facts.fingerprint, sizeof(set->fingerprint));
        set->rsa_bits = facts.rsa_bits;
        set->is_self_signed = facts.is_self_signed;
        set->allows_client_auth = facts.allows_client_auth;
        set->is_sealed = true;
        return true;
}

static void put(char *record, size_t *offset, const void *data, size_t size) {
        memcpy(record + *offset, data, size);
        *offset += size;
}

/* The size of what is written into RECORD; 0: it has no room. */
static size_t write_record(char record[RECORD_MAX], const uint8_t seal[SEAL_SIZE], const struct set *set) {
        const size_t n_issuers = set->issuers ? set->issuers->n : 0;
        struct facts facts = {
                .not_before = set->not_before,
                .effective_expiry = set->effective_expiry,
                .rsa_bits = set->rsa_bits,
                .is_self_signed = set->is_self_signed,
                .allows_client_auth = set->allows_client_auth,
                .n_issuers = (uint8_t)n_issuers,
        };
        struct head head = { .magic = MAGIC };
        size_t size = RECORD_MIN + n_issuers * sizeof(struct issuer_facts), offset = sizeof(head);

        if (n_issuers > CERT_LIST_MAX)
                return 0;
        for (size_t i = 0; i < n_issuers; i++)
                size += strlen(set->issuers->items[i].subject);
        size = (size + UNIT - 1) / UNIT * UNIT;
        if (size > RECORD_MAX)
                return 0;
        memcpy(facts.spki, set->spki, sizeof(facts.spki));
        memcpy(facts.fingerprint, set->fingerprint, sizeof(facts.fingerprint));
        memcpy(head.seal, seal, sizeof(head.seal));
        memset(record, 0, size);
        put(record, &offset, &facts, sizeof(facts));
        for (size_t i = 0; i < n_issuers; i++) {
                const struct issuer *issuer = &set->issuers->items[i];
                struct issuer_facts known = {
                        .not_before = issuer->not_before,
                        .not_after = issuer->not_after,
                        .subject_size = strlen(issuer->subject),
                };

                memcpy(known.fingerprint, issuer->fingerprint, sizeof(known.fingerprint));
                memcpy(known.spki, issuer->spki, sizeof(known.spki));
                put(record, &offset, &known, sizeof(known));
        }
        for (size_t i = 0; i < n_issuers; i++)
                put(record, &offset, set->issuers->items[i].subject, strlen(set->issuers->items[i].subject));
        head.size = (uint32_t)size;
        memcpy(record, &head, sizeof(head));
        head.check = checksum(record, size);
        memcpy(record, &head, sizeof(head));
        return size;
}

/* --- Where records are --- */

/* The record AT, where it is in memory; or in BUFFER. NULL: it cannot be read. */
static const char *get_record(const struct seals *seals, uint32_t at, char buffer[RECORD_MAX],
                              size_t *ret_size) {
        const size_t offset = (size_t)(at - 1) * UNIT;
        const char *record = buffer;
        size_t left;

        if (offset >= seals->file_size) {
                record = seals->pending + (offset - seals->file_size);
                left = seals->pending_size - (offset - seals->file_size);
        } else if (offset < seals->data_size) {
                record = seals->data + offset;
                left = seals->data_size - offset;
        } else {
                const ssize_t n = pread(seals->fd, buffer, RECORD_MAX, (off_t)offset);

                left = n > 0 ? (size_t)n : 0;
        }
        *ret_size = record_size(record, left);
        return *ret_size > 0 ? record : NULL;
}

static uint32_t tag_of(const uint8_t seal[SEAL_SIZE]) {
        uint32_t tag;

        memcpy(&tag, seal, sizeof(tag));
        return tag;
}

/* The place of SEAL, or the empty one where it would be; RECORD is that of the former, or NULL. */
static size_t find_place(const struct seals *seals, const uint8_t seal[SEAL_SIZE], char buffer[RECORD_MAX],
                         const char **ret_record, size_t *ret_size) {
        const uint32_t tag = tag_of(seal);
        size_t i = tag & (seals->table_size - 1);

        *ret_record = NULL;
        for (; seals->table[i].at != 0; i = (i + 1) & (seals->table_size - 1)) {
                const char *record;

                if (seals->table[i].tag != tag)
                        continue;
                record = get_record(seals, seals->table[i].at, buffer, ret_size);
                if (record && memcmp(record + offsetof(struct head, seal), seal, SEAL_SIZE) == 0) {
                        *ret_record = record;
                        break;
                }
        }
        return i;
}

static int resize(struct seals *seals, size_t size) {
        struct place *table = calloc(size, sizeof(*table)), *before = seals->table;
        uint8_t *used = seals->used || !before ? calloc(size, sizeof(*used)) : NULL;

        if (!table || (!used && (seals->used || !before))) {
                free(table);
                free(used);
                return -ENOMEM;
        }
        for (size_t i = 0; i < seals->table_size; i++) {
                size_t k = before[i].tag & (size - 1);

                if (before[i].at == 0)
                        continue;
                while (table[k].at != 0)
                        k = (k + 1) & (size - 1);
                table[k] = before[i];
                if (used)
                        used[k] = seals->used[i];
        }
        free(before);
        free(seals->used);
        seals->table = table;
        seals->used = used;
        seals->table_size = size;
        return 0;
}

/* Puts the record of SEAL at OFFSET in its place. 0 or -ENOMEM. */
static int note_place(struct seals *seals, const uint8_t seal[SEAL_SIZE], size_t offset, bool is_used) {
        char buffer[RECORD_MAX];
        const char *record;
        size_t i, size;

        if (4 * (seals->n + 1) > 3 * seals->table_size && resize(seals, 2 * seals->table_size) < 0)
                return -ENOMEM;
        i = find_place(seals, seal, buffer, &record, &size);
        seals->n += record ? 0 : 1;
        seals->table[i] = (struct place) { .tag = tag_of(seal), .at = (uint32_t)(offset / UNIT) + 1 };
        if (seals->used)
                seals->used[i] = is_used;
        return 0;
}

/* --- The file --- */

/* Nobody else has written it, or could have. */
static bool is_trustworthy(const struct stat *st) {
        return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 &&
               !(st->st_mode & (S_IRWXG | S_IRWXO)) && st->st_size <= FILE_MAX;
}

/* An ACL would show as rights of the group. */
static int open_file(int dir_fd) {
        const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
        struct stat st;
        int fd = openat(dir_fd, SEALS_FILE, flags);

        if (fd >= 0 && (fstat(fd, &st) < 0 || !is_trustworthy(&st)))
                fd = fd_close(fd);
        if (fd >= 0 || (unlinkat(dir_fd, SEALS_FILE, 0) < 0 && errno != ENOENT))
                return fd;
        return openat(dir_fd, SEALS_FILE, flags | O_CREAT | O_EXCL, 0600);
}

/* The same file, to append to it for a moment; -1: it cannot be had. */
static int open_writer(const struct seals *seals) {
        _cleanup_(fd_closep) int fd =
                openat(seals->dir_fd, SEALS_FILE, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat known, st;

        if (fd < 0 || fstat(fd, &st) < 0 || fstat(seals->fd, &known) < 0 || st.st_ino != known.st_ino ||
            st.st_dev != known.st_dev)
                return -1;
        return take_fd(&fd);
}

static bool cut_file(const struct seals *seals, size_t size) {
        _cleanup_(fd_closep) int fd = open_writer(seals);

        return fd >= 0 && ftruncate(fd, (off_t)size) == 0;
}

/* What comes after the last whole record would hide what is appended. */
static int read_file(struct seals *seals) {
        struct stat st;
        size_t size, n;
        int r;

        if (seals->fd < 0 || fstat(seals->fd, &st) < 0 || st.st_size == 0 ||
            lseek(seals->fd, 0, SEEK_SET) < 0)
                return 0;
        r = fd_read_all(seals->fd, FILE_MAX, &seals->data, &size);
        if (r < 0) {
                seals->fd = fd_close(seals->fd);
                return r == -ENOMEM ? r : 0;
        }
        while ((n = record_size(seals->data + seals->data_size, size - seals->data_size)) > 0) {
                const uint8_t *seal =
                        (const uint8_t *)seals->data + seals->data_size + offsetof(struct head, seal);

                r = note_place(seals, seal, seals->data_size, false);
                if (r < 0)
                        return r;
                seals->data_size += n;
        }
        seals->file_size = seals->data_size;
        if (seals->data_size < size && !cut_file(seals, seals->data_size))
                seals->fd = fd_close(seals->fd);
        return 0;
}

/* A disk that takes no more is asked no more: what is not written is not known any longer. */
static void give_up(struct seals *seals) {
        seals->fd = fd_close(seals->fd);
        memset(seals->table, 0, seals->table_size * sizeof(*seals->table));
        seals->n = seals->pending_size = 0;
}

static void flush(struct seals *seals) {
        _cleanup_(fd_closep) int fd = -1;

        if (seals->fd < 0 || seals->pending_size == 0)
                return;
        fd = open_writer(seals);
        if (fd < 0 || fd_write_all(fd, seals->pending, seals->pending_size) < 0) {
                give_up(seals);
                return;
        }
        seals->file_size += seals->pending_size;
        seals->pending_size = 0;
}

/* Writes the records that were used, and nothing else, into a new file. */
static bool copy_used(struct seals *seals, int fd) {
        char *block = malloc(PENDING_MAX + RECORD_MAX), buffer[RECORD_MAX];
        size_t n_block = 0;
        bool is_good = block;

        for (size_t i = 0; is_good && i < seals->table_size; i++) {
                const char *record;
                size_t size;

                if (seals->table[i].at == 0)
                        continue;
                record = seals->used[i] ? get_record(seals, seals->table[i].at, buffer, &size) : NULL;
                if (!record)
                        continue;
                memcpy(block + n_block, record, size);
                n_block += size;
                if (n_block > PENDING_MAX) {
                        is_good = fd_write_all(fd, block, n_block) == 0;
                        n_block = 0;
                }
        }
        is_good = is_good && fd_write_all(fd, block, n_block) == 0;
        free(block);
        return is_good;
}

/* A crash in between leaves the one file or the other. */
static void drop_useless(struct seals *seals) {
        _cleanup_(fd_closep) int fd = -1;
        size_t n_used = 0;

        for (size_t i = 0; i < seals->table_size; i++)
                n_used += seals->table[i].at != 0 && seals->used[i];
        if (seals->n - n_used < n_used + USELESS_MIN)
                return;
        (void)unlinkat(seals->dir_fd, TEMPORARY, 0);
        fd = openat(seals->dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return;
        if (!copy_used(seals, fd) || renameat(seals->dir_fd, TEMPORARY, seals->dir_fd, SEALS_FILE) < 0) {
                (void)unlinkat(seals->dir_fd, TEMPORARY, 0);
                return;
        }
        fd_close(seals->fd);
        seals->fd = open_file(seals->dir_fd);
        free(take_ptr(seals->data));
        free(take_ptr(seals->table));
        free(take_ptr(seals->used));
        seals->table_size = seals->n = seals->data_size = seals->file_size = 0;
        if (resize(seals, 64) < 0 || read_file(seals) < 0)
                seals->fd = fd_close(seals->fd);
}

/* --- Together --- */

int seals_new(int dir_fd, struct seals **ret) {
        _cleanup_(seals_freep) struct seals *seals = calloc(1, sizeof(*seals));

        if (!seals)
                return -ENOMEM;
        pthread_mutex_init(&seals->lock, NULL);
        seals->dir_fd = dir_fd;
        seals->fd = -1;
        if (resize(seals, 64) < 0)
                return -ENOMEM;
        (void)unlinkat(dir_fd, TEMPORARY, 0);
        seals->fd = open_file(dir_fd);
        if (read_file(seals) < 0)
                return -ENOMEM;
        *ret = take_ptr(seals);
        return 0;
}

struct seals *seals_free(struct seals *seals) {
        if (!seals)
                return NULL;
        if (seals->table)
                flush(seals);
        fd_close(seals->fd);
        free(seals->table);
        free(seals->used);
        free(seals->data);
        free(seals->pending);
        pthread_mutex_destroy(&seals->lock);
        free(seals);
        return NULL;
}

bool seals_find(struct seals *seals, const uint8_t seal[SEAL_SIZE], struct set *set) {
        char buffer[RECORD_MAX];
        const char *record;
        bool is_found = false;
        size_t i, size;

        pthread_mutex_lock(&seals->lock);
        if (seals->table) {
                i = find_place(seals, seal, buffer, &record, &size);
                is_found = record && read_record(record, size, set);
                seals->n_found += is_found;
                if (is_found && seals->used)
                        seals->used[i] = true;
        }
        pthread_mutex_unlock(&seals->lock);
        return is_found;
}

static void forget_pending(struct seals *seals) {
        free(take_ptr(seals->pending));
        seals->pending_size = 0;
}

static void append(struct seals *seals, const uint8_t seal[SEAL_SIZE], const char *record, size_t size) {
        const size_t offset = seals->file_size + seals->pending_size;

        if (!seals->pending)
                seals->pending = malloc(PENDING_MAX + RECORD_MAX);
        if (!seals->pending || offset + size > FILE_MAX)
                return;
        memcpy(seals->pending + seals->pending_size, record, size);
        seals->pending_size += size;
        if (note_place(seals, seal, offset, true) < 0)
                seals->pending_size -= size;
        else if (seals->pending_size > PENDING_MAX || !seals->used)
                flush(seals);
        if (!seals->used) /* at rest there are few, and no memory is kept for them */
                forget_pending(seals);
}

void seals_add(struct seals *seals, const uint8_t seal[SEAL_SIZE], const struct set *set) {
        char record[RECORD_MAX];
        const size_t size = write_record(record, seal, set);

        pthread_mutex_lock(&seals->lock);
        if (size > 0 && seals->fd >= 0 && seals->table)
                append(seals, seal, record, size);
        pthread_mutex_unlock(&seals->lock);
}

void seals_rest(struct seals *seals) {
        pthread_mutex_lock(&seals->lock);
        if (seals->table)
                flush(seals);
        if (seals->table && seals->used && seals->fd >= 0)
                drop_useless(seals);
        free(take_ptr(seals->data));
        seals->data_size = 0;
        free(take_ptr(seals->used));
        forget_pending(seals);
        pthread_mutex_unlock(&seals->lock);
}

size_t seals_count(struct seals *seals) {
        return seals->n;
}

size_t seals_found(struct seals *seals) {
        return seals->n_found;
}
