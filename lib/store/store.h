#pragma once

/* One certificate's directory: generations, the current one, and what is staged for the next. */

#include "lib/x509/issuers.h"
#include "lib/x509/key.h"

/* The names that readers use. Each is a symbolic link into `..data`, which is a link to the current
 * generation. */
#define STORE_KEY         "tls.key"
#define STORE_CERTIFICATE "tls.crt"
#define STORE_CA          "ca.crt"
#define STORE_CONNECTION  "connection.json"
#define STORE_CURRENT     "..data"

struct store;

/* A reader that opened `..data` just before a swap may still be reading. */
#define STORE_GRACE_USEC USEC_PER_MINUTE

struct store_options {
        struct file_access key_access;    /* -1 and mode 0: as a key had it that was adopted, else 0600 */
        struct file_access public_access; /* tls.crt, ca.crt, connection.json: 0644 */
        usec_t grace_usec;                /* a generation out of use for less than this is not removed */
        unsigned keep;                    /* generations to keep, the current one included; at least 2 */
};

/*
 * Opens and locks the directory PATH, creating its last component (mode 0755) where it is missing. It must be
 * a real directory that is owned by this user or root and that no stranger may write to: the group of
 * `key_access` is none, nor is a group of this process (lib/store/directory.h). Then finishes or removes what
 * a crash left behind: a complete newer generation becomes current, temporary files go. 0;
 * -EWOULDBLOCK when another process works on it; -EPERM, -ELOOP, -ENOTDIR or another -errno with a sentence.
 */
int store_open(const char *path, const struct store_options *options, struct store **ret,
               struct error *error);

/* Closes and unlocks. Accepts NULL, returns NULL. */
struct store *store_close(struct store *store);
DEFINE_CLEANUP(struct store *, store_close);

/* No generation is current: nothing was committed or adopted yet. */
bool store_is_empty(const struct store *store);

/* One set in memory: what a generation holds. */
struct set {
        uint64_t generation;
        struct key *key;
        char *certificate_pem; /* leaf, then intermediates */
        char *ca_pem;          /* NULL for an adopted pair that came without its CA */
        char *connection_json; /* NULL where there is none yet */
        const char *
                old_ca_pem; /* borrowed, from who exports: of CAs that are still to be exported; NULL: none */
        struct cert *leaf;
        struct issuers *issuers; /* what it is issued under; NULL: not known */
        usec_t not_before;
        usec_t effective_expiry;
        uint8_t spki[SPKI_HASH_SIZE];
        uint8_t fingerprint[FINGERPRINT_SIZE];
        unsigned rsa_bits; /* of the key; 0: it is not an RSA key, or could not be read */
        bool is_self_signed, allows_client_auth;
        bool is_sealed; /* these facts are from a seal: of the files, only `connection_json` is there */
};
void set_clear(struct set *set);

/* Frees what was read and keeps what is known of it: the numbers, the times, the hashes and the
 * issuers. */
void set_drop_files(struct set *set);

/* Reads the current generation through one open of its directory and checks that its parts belong together
 * (the key is the leaf's, the leaf verifies to ca.crt where there is one, whatever the time). 0; -ENOENT when
 * there is no current generation; -EBADMSG when its parts are damaged or do not match; another -errno. */
int store_load(const struct store *store, struct set *ret, struct error *error);

/* The same for the certificate NAME, where the facts are enough: what SEALS (may be NULL; lib/store/seals.h)
 * know of the very same bytes is not found out again, and the set is sealed. What they do not know they do
 * afterwards. */
struct seals;
int store_load_sealed(const struct store *store, struct seals *seals, const char *name, struct set *ret,
                      struct error *error);

/* The same for one generation of DIRECTORY, without opening it for work: nothing is locked or changed.
 * -ENOENT when there is no such generation any more. */
int store_peek(const char *directory, uint64_t generation, struct set *ret, struct error *error);

/* The same for the current one; -ENOENT also when there is none. */
int store_peek_current(const char *directory, struct set *ret, struct error *error);

/* The same, from a directory that store_open() would not refuse; GROUP is that of `key_access`. -ENOENT only
 * where there is certainly no set: no directory, or no generation in it. */
int store_view_current(const char *directory, gid_t group, struct set *ret, struct error *error);

/* What became of the rights of a store's files. */
struct store_rights {
        char *changes;        /* a sentence about what was put right; NULL: nothing was to be */
        struct error problem; /* about what is not right, and how to put it right */
        uint64_t unchanged;   /* stands for all of that; 0: everything is right */
};
void store_rights_clear(struct store_rights *rights);

/*
 * Gives the files and the directory of the current generation, and the keys and directories of the older
 * ones, the owner, group and mode of the options and no ACL: see lib/util/rights.h for the order. Takes the
 * right to write from the group of the store's own directory, where this user owns it. KNOWN is what
 * `unchanged` was before, or 0: what is still the same is not tried again, and `problem` then lacks the
 * cause. 0 or -errno.
 */
int store_put_rights(const struct store *store, uint64_t known, struct store_rights *ret);

/*
 * Adopts an existing pair. store_adopt_plain() takes regular files with the names above in the directory
 * itself, and puts links in their place without a moment in which a name is missing: as generation 0 when
 * nothing is current, as the next one when they are a pair that lasts longer than the current. It finishes an
 * adoption that was cut off. Other files are refused with -EAGAIN for `grace_usec`, then set aside. -ENOENT,
 * without a text, when there are no such files (any more). store_adopt_files() copies KEY, CERTIFICATE and CA
 * (may be NULL) from elsewhere as generation 0, when nothing is current, and leaves those as they are. Both
 * refuse a pair that does not match. A plain key keeps its owner, its group and what the group may read,
 * where the options leave that open and this user may give it, and so do the keys that follow it. A plain
 * file that holds more than becomes part of the set is kept as NAME.original. *RET_WARNING, owned, is a
 * sentence or untouched: the key was world-readable, readers may have lost it, or files were kept or set
 * aside.
 */
int store_adopt_plain(struct store *store, char **ret_warning, struct error *error);
int store_adopt_files(struct store *store, const char *key, const char *certificate, const char *ca,
                      char **ret_warning, struct error *error);

/*
 * Makes a copy of an older generation the current one. The copy gets the next number; what was staged is
 * dropped. 0; -ENOENT when there is no such generation, -EBADMSG when it is damaged, -EKEYEXPIRED when it is
 * no longer valid at NOW, -EALREADY when it is the current one.
 */
int store_rollback(struct store *store, uint64_t generation, usec_t now, struct error *error);

/* What is known of a store beside its files; all is borrowed. */
struct store_memory {
        uint64_t generation;
        const char *fingerprint; /* of that generation's leaf, in hexadecimal; NULL or empty: unknown */
        const char *subject;     /* of its leaf, canonical; NULL: unknown */
        const char (*revoked)[FINGERPRINT_HEX];
        size_t n_revoked;
};

/* What a damaged set is replaced by. */
enum store_choice {
        STORE_CHOICE_SAME,    /* the same certificate */
        STORE_CHOICE_KEY,     /* another one of the same key */
        STORE_CHOICE_EARLIER, /* the newest one before it */
        STORE_CHOICE_NONE,
};

/* For a damaged current set: a copy of another generation becomes current; *RET_GENERATION is its number. It
 * is the same certificate where there is one, and never one that is not valid at NOW, was revoked, has
 * another subject, or was left by a rollback. 0; -ENOENT with a sentence when there is none; another -errno
 * when one could not be read for now. */
int store_repair(struct store *store, const struct store_memory *memory, usec_t now, uint64_t *ret_generation,
                 enum store_choice *ret_choice, struct error *error);

/* Removes what is no certificate from the public files of all generations, where SET, the current one, has
 * such text or an adopted generation is there. It may be a private key. *RET_WARNING, owned, is a sentence
 * where there was any, or untouched. 0 or -errno. */
int store_scrub(struct store *store, const struct set *set, char **ret_warning, struct error *error);

/*
 * Staging for the next generation: a directory of its own, mode 0700, that no reader uses. What a function
 * has written is durable when it returns 0, files and directory, unless it says otherwise. What is staged
 * survives a restart; a stage that is older than the current generation is dropped by store_open().
 */
int store_stage_key(struct store *store, const struct key *key,
                    struct error *error); /* drops what else was staged */

/* Stages KEY before it is needed, unless there is one already that is as good, or nothing is current that it
 * could follow. And removes a key with which nothing was done yet; 0 also when there is none. */
enum store_ahead {
        STORE_AHEAD_STAGED,   /* KEY is */
        STORE_AHEAD_HAS_ONE,  /* another one was: what is staged is as it was */
        STORE_AHEAD_HAS_NONE, /* no set: nothing is staged */
};
int store_stage_ahead(struct store *store, const struct key *key, enum store_ahead *ret, struct error *error);
int store_stage_drop_unused(struct store *store, struct error *error);

/* Texts that go beside the staged key, in this order; NULL: none. All is borrowed. */
struct store_staged {
        const char *key_pem; /* for store_receive_stage() only */
        const char *connection_json, *token, *csr_pem, *ca_pem, *certificate_pem;
};

/* Writes all of PARTS at once, with one sync of the directory after the last of them. A reader who finds a
 * CSR, or a certificate, after a kill finds what was to be staged before it. */
int store_stage_parts(struct store *store, const struct store_staged *parts, struct error *error);

/* Writes a CSR that no token is for: the next attempt makes another one, so it is not durable. That it can be
 * written shows that there is room for the reply, before the Connector is called. */
int store_stage_note_csr(struct store *store, const char *csr_pem, struct error *error);

/* What is staged. Absent parts are NULL. The token is cleansed by stage_clear(). */
struct stage {
        struct key *key;
        char *csr_pem;
        char *token;
        char *connection_json;
        char *certificate_pem;
        char *ca_pem;
};
void stage_clear(struct stage *stage);
int store_stage_load(const struct store *store, struct stage *ret, struct error *error);

/* Forgets the staged token, or the staged certificate, keeping the rest. 0 also when there is none. */
int store_stage_drop_token(struct store *store, struct error *error);
int store_stage_drop_certificate(struct store *store, struct error *error);

/*
 * Makes the staged set current: completes and fsyncs its directory, renames it to the next generation, and
 * renames one link over `..data`. The caller has run the gate and the verification. On failure the old set is
 * current and the stage is as it was. Then removes generations beyond `keep` that have been out of use for a
 * minute, so that a reader in the middle of its work keeps its files; failing at that is not an error.
 */
int store_commit(struct store *store, uint64_t *ret_generation, struct error *error);

/*
 * --- A directory as the copy of a set that others share
 */

/* What is shared; all is borrowed. */
struct store_offer {
        uint64_t generation;                                              /* 0: nobody says */
        const char *key_pem, *certificate_pem, *ca_pem, *connection_json; /* NULL, or empty: there is none */
};

enum store_receipt {
        STORE_IS_SAME,     /* the set here is the shared one; or there is neither */
        STORE_IS_RECEIVED, /* the shared one is current now */
        STORE_IS_NEWER,    /* the set here is newer, or the only whole one: it is to be shared */
        STORE_IS_DAMAGED,  /* the shared one is not whole, and nothing here can take its place */
};

/* Makes what is shared current here, unless it is, or is older, or no set: with its own number, or the next
 * one here where that is larger. What is staged for that number is dropped. 0, with a sentence for a set that
 * is not whole; or -errno with a sentence. */
int store_receive(struct store *store, const struct store_offer *offer, usec_t now, enum store_receipt *ret,
                  struct error *error);

/* Stages here what others have staged for the next generation. With another key, all that is staged here is
 * dropped; with the same one, parts that are only here stay, but a token that was used up there. 0 or -errno
 * with a sentence. */
int store_receive_stage(struct store *store, const struct store_staged *staged, struct error *error);
